//! The task that owns one instance and leases batches for it.
//!
//! In: batches leased from the slot. Out: each of them settled. Ends when its generation stops leasing, after the
//! current batch; then it stops its instance. An instance that failed is replaced, with exponential backoff while
//! replacements fail as well; an instance that retains too many handles is replaced immediately.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::batch_mirror::{BatchMirror, MirroredBatch};
use super::generation_stats::{GenerationStats, LiveInstanceGuard};
use barnabas_pipeline::dispatch::{LeaseHolder, LeasedBatch, Outcome, Settlement, Slot};
use barnabas_pipeline::event::{EventData, Events, Topic};
use barnabas_runtime::capability::batch::LentBatch;
use barnabas_runtime::capability::report::GuestReport;
use barnabas_runtime::instance::{Blueprint, ExportResult, ReceiverInstance};
use barnabas_runtime::limits::MAX_RETAINED_HANDLES;

/// The first and the maximum backoff before an instance is replaced.
const RESTART_BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// What the workers of a generation share.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) slot: Slot,
    pub(super) holder: LeaseHolder,
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) stats: Arc<GenerationStats>,
    pub(super) events: Events,
    /// True once the generation should end.
    pub(super) ending: watch::Receiver<bool>,
    /// Dropped once the worker stops leasing.
    pub(super) leasing: Option<mpsc::Sender<()>>,
    /// Receives copies of the batches during a shadow stage.
    pub(super) mirror: BatchMirror,
}

/// An instance, and the guard that counts it as live.
type CountedInstance = (ReceiverInstance, LiveInstanceGuard);

/// The state of an instance after a batch.
enum AfterBatch {
    /// It can be called again.
    Reusable(CountedInstance),
    /// It retains too many handles; the number of them.
    TooManyHandles(CountedInstance, usize),
    Broken,
}

impl Worker {
    /// Runs until the generation stops leasing or the slot is closed.
    pub(super) async fn run(mut self, started: Option<ReceiverInstance>) {
        let mut instance = started.map(|instance| self.counted(instance));
        let mut broken = 0;
        loop {
            let Some(serving) = self.next_instance(instance.take(), &mut broken).await else { return };
            let Some(batch) = self.slot.lease(&self.holder).await else { return self.shut_down(serving).await };
            (instance, broken) = match self.run_batch(serving, batch).await {
                AfterBatch::Reusable(serving) => (Some(serving), 0),
                AfterBatch::TooManyHandles(spent, handles) => {
                    self.replace_instance(spent, handles).await;
                    (None, 0)
                }
                AfterBatch::Broken => (None, broken + 1),
            };
        }
    }

    fn counted(&self, instance: ReceiverInstance) -> CountedInstance {
        (instance, LiveInstanceGuard::new(&self.stats))
    }

    /// Returns the current instance, or starts a new one; `None` if the generation ends in the meantime.
    async fn next_instance(&mut self, at_hand: Option<CountedInstance>, broken: &mut u32) -> Option<CountedInstance> {
        if at_hand.is_some() {
            return at_hand;
        }
        loop {
            self.back_off(*broken).await?;
            let started = tokio::select! {
                started = ReceiverInstance::start(&self.blueprint) => started,
                _ = self.ending.wait_for(|ending| *ending) => return None,
            };
            match started {
                Ok((instance, usage)) => {
                    self.stats.record_usage(usage.cpu, 0);
                    return Some(self.counted(instance));
                }
                Err(error) => self.record_crash("start", &error.to_string()),
            }
            *broken += 1;
        }
    }

    /// Waits before a replacement. The first instance of a worker starts immediately.
    async fn back_off(&mut self, broken: u32) -> Option<()> {
        if self.holder.stopped() {
            return None;
        }
        if broken == 0 {
            return Some(());
        }
        let doubled = 2_u32.saturating_pow(broken - 1);
        let wait = RESTART_BACKOFF.0.saturating_mul(doubled).min(RESTART_BACKOFF.1);
        tokio::select! {
            () = tokio::time::sleep(wait) => Some(()),
            // Also if the sender was dropped: then nothing else could end this worker.
            _ = self.ending.wait_for(|ending| *ending) => None,
        }
    }

    async fn run_batch(&self, (instance, live): CountedInstance, batch: LeasedBatch) -> AfterBatch {
        let (deliveries, gone) = batch.shared();
        self.record_start(&batch);
        let (start, facts) = (Instant::now(), BatchFacts::from_batch(&batch));
        let copied = self.mirror.is_attached().then(|| (deliveries.clone(), gone.clone()));
        let answer = instance.export(LentBatch { deliveries, gone }).await;
        self.record_result(&answer);
        let ExportResult { outcome, usage, sent, handles, instance, .. } = answer;
        let (name, reason) = (outcome.name(), outcome.reason().map(str::to_owned));
        if outcome == Outcome::Taken && facts.pushes > 0 {
            self.stats.record_success();
        }
        let settled = batch.settle(outcome);
        if !was_notices_only(&settled) {
            self.stats.record_settled(&settled);
        }
        if let Some((deliveries, gone)) = copied {
            self.mirror.offer(MirroredBatch { deliveries, departed: gone, settled, cpu: usage.cpu, sent });
        }
        self.events.emit(Topic::BatchEnd, || EventData::BatchEnd {
            slot: self.slot.name().clone(),
            generation: self.holder.generation(),
            pushes: facts.pushes,
            points: facts.points,
            size: facts.size,
            queue_wait: facts.queue_wait,
            duration: start.elapsed(),
            cpu: usage.cpu,
            outcome: name,
            reason,
        });
        match instance {
            None => AfterBatch::Broken,
            Some(instance) if handles > MAX_RETAINED_HANDLES => AfterBatch::TooManyHandles((instance, live), handles),
            Some(instance) => AfterBatch::Reusable((instance, live)),
        }
    }

    /// Stops an instance that retains handles between calls: it would fail once it has none left.
    async fn replace_instance(&self, (instance, _live): CountedInstance, handles: usize) {
        self.stats.record_replacement();
        self.events.emit(Topic::PluginReplaced, || EventData::PluginReplaced {
            slot: self.slot.name().clone(),
            generation: self.holder.generation(),
            handles,
        });
        self.stop_instance(instance).await;
    }

    fn record_start(&self, batch: &LeasedBatch) {
        self.stats.record_batch();
        self.events.emit(Topic::BatchStart, || EventData::BatchStart {
            slot: self.slot.name().clone(),
            generation: self.holder.generation(),
            pushes: batch.len(),
            size: batch.bytes(),
        });
    }

    fn record_result(&self, answer: &ExportResult) {
        self.stats.record_usage(answer.usage.cpu, answer.memory_peak);
        self.stats.record_not_normalised(answer.not_normalised);
        match (&answer.outcome, answer.outcome.reason(), &answer.denied_destination) {
            (Outcome::Faulted(fault, message), ..) => self.record_crash(fault.name(), message),
            (_, Some(reason), _) => self.stats.record_error(reason),
            // It asks for redelivery, an outcome that has no reason of its own.
            (Outcome::Partial { .. }, None, Some(denied)) => self.stats.record_error(denied),
            _ => {}
        }
        self.record_reports(&answer.reported, answer.outcome == Outcome::Taken);
    }

    fn record_reports(&self, said: &GuestReport, taken: bool) {
        if said.misconfigured.is_some() || taken {
            let news = self.stats.set_misconfigured(said.misconfigured.as_deref());
            if let Some(reason) = said.misconfigured.as_ref().filter(|_| news) {
                self.events.emit(Topic::PluginMisconfigured, || EventData::PluginMisconfigured {
                    slot: self.slot.name().clone(),
                    reason: reason.clone(),
                });
            }
        }
        if said.rejected_points > 0 {
            self.stats.record_rejected_points(said.rejected_points);
            self.events.emit(Topic::PluginRejectedPoints, || EventData::PluginRejectedPoints {
                slot: self.slot.name().clone(),
                points: said.rejected_points,
                reason: said.rejected_reason.clone(),
            });
        }
    }

    fn record_crash(&self, cause: &'static str, message: &str) {
        self.stats.record_crash();
        self.stats.record_error(message);
        self.events.emit(Topic::PluginCrash, || EventData::PluginCrash {
            slot: self.slot.name().clone(),
            generation: self.holder.generation(),
            cause,
            message: message.to_owned(),
            will_restart: !self.holder.stopped(),
        });
    }

    async fn shut_down(mut self, (instance, _live): CountedInstance) {
        drop(self.leasing.take());
        self.stop_instance(instance).await;
    }

    async fn stop_instance(&self, instance: ReceiverInstance) {
        if let Err(broken) = instance.stop().await {
            self.stats.record_error(&broken.message);
            tracing::warn!(
                plugin = &**self.slot.name(),
                generation = self.holder.generation(),
                "the receiver failed in `stop`: {broken}"
            );
        }
    }
}

/// Whether a batch had only notices, which do not count in the score.
fn was_notices_only(settled: &Settlement) -> bool {
    settled.delivered + settled.dropped + settled.returned + settled.shed == 0
}

/// Facts about a batch that are reported after it was settled.
struct BatchFacts {
    pushes: usize,
    points: u64,
    size: usize,
    queue_wait: Duration,
}

impl BatchFacts {
    fn from_batch(batch: &LeasedBatch) -> Self {
        Self { pushes: batch.len(), points: batch.points(), size: batch.bytes(), queue_wait: batch.queue_wait() }
    }
}
