//! The task that owns one instance and leases batches for it.
//!
//! In: batches leased from the slot. Out: each of them settled. Ends when its holder is told to stop, after the batch
//! it is at; then it says goodbye to its instance. An instance that broke is replaced, more and more patiently while
//! one after the other breaks; one that keeps too many handles is replaced at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::instance::{Answer, Blueprint, Instance};
use super::limits::HANDLES_KEPT;
use super::mirror::{Copied, Mirror};
use super::vitals::{Live, Vitals};
use crate::capability::batch::LentBatch;
use crate::capability::report::GuestReport;
use crate::dispatch::{LeaseHolder, LeasedBatch, Outcome, Settlement, Slot};
use crate::event::{EventData, Events, Topic};

/// The wait before the first replacement, and the longest.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// What the workers of a generation share.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) slot: Slot,
    pub(super) holder: LeaseHolder,
    pub(super) blueprint: Arc<Blueprint>,
    pub(super) vitals: Arc<Vitals>,
    pub(super) events: Events,
    /// True once the generation is to end.
    pub(super) ending: watch::Receiver<bool>,
    /// Dropped once it leases no more.
    pub(super) busy: Option<mpsc::Sender<()>>,
    /// Where copies of its batches go, while somebody compares.
    pub(super) mirror: Mirror,
}

/// An instance that is counted.
type Counted = (Instance, Live);

/// What is left of an instance after a batch.
enum Left {
    /// It can be called again.
    Ready(Counted),
    /// The instance with the number of handles that it keeps, which is too high.
    Spent(Counted, usize),
    Broken,
}

impl Worker {
    /// Until the holder is told to stop, or the slot is closed.
    pub(super) async fn run(mut self, started: Option<Instance>) {
        let mut instance = started.map(|instance| self.counted(instance));
        let mut broken = 0;
        loop {
            let Some(serving) = self.ready(instance.take(), &mut broken).await else { return };
            let Some(batch) = self.slot.lease(&self.holder).await else { return self.goodbye(serving).await };
            (instance, broken) = match self.serve(serving, batch).await {
                Left::Ready(serving) => (Some(serving), 0),
                Left::Spent(spent, handles) => {
                    self.replace(spent, handles).await;
                    (None, 0)
                }
                Left::Broken => (None, broken + 1),
            };
        }
    }

    fn counted(&self, instance: Instance) -> Counted {
        (instance, Live::new(&self.vitals))
    }

    /// The instance at hand, else a new one; `None` when the generation ends meanwhile.
    async fn ready(&mut self, at_hand: Option<Counted>, broken: &mut u32) -> Option<Counted> {
        if at_hand.is_some() {
            return at_hand;
        }
        loop {
            self.wait(*broken).await?;
            let started = tokio::select! {
                started = Instance::start(&self.blueprint) => started,
                _ = self.ending.wait_for(|ending| *ending) => return None,
            };
            match started {
                Ok((instance, usage)) => {
                    self.vitals.used(usage.cpu, 0);
                    return Some(self.counted(instance));
                }
                Err(error) => self.crashed("start", &error.to_string()),
            }
            *broken += 1;
        }
    }

    /// The first instance of a worker need not wait; one after a fault does.
    async fn wait(&mut self, broken: u32) -> Option<()> {
        if self.holder.stopped() {
            return None;
        }
        if broken == 0 {
            return Some(());
        }
        let doubled = 2_u32.saturating_pow(broken - 1);
        let wait = PATIENCE.0.saturating_mul(doubled).min(PATIENCE.1);
        tokio::select! {
            () = tokio::time::sleep(wait) => Some(()),
            // Also when the sender is gone: nobody is left who could end this.
            _ = self.ending.wait_for(|ending| *ending) => None,
        }
    }

    async fn serve(&self, (instance, live): Counted, batch: LeasedBatch) -> Left {
        let (deliveries, gone) = batch.shared();
        self.began(&batch);
        let (start, facts) = (Instant::now(), Facts::of(&batch));
        let copied = self.mirror.wants().then(|| (deliveries.clone(), gone.clone()));
        let answer = instance.export(LentBatch { deliveries, gone }).await;
        self.note(&answer);
        let Answer { outcome, usage, sent, handles, instance, .. } = answer;
        let (name, reason) = (outcome.name(), outcome.reason().map(str::to_owned));
        if outcome == Outcome::Taken && facts.pushes > 0 {
            self.vitals.taken();
        }
        let settled = batch.settle(outcome);
        if !batch_was_empty(&settled) {
            self.vitals.settled(&settled);
        }
        if let Some((deliveries, gone)) = copied {
            self.mirror.offer(Copied { deliveries, gone, settled, cpu: usage.cpu, sent });
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
            None => Left::Broken,
            Some(instance) if handles > HANDLES_KEPT => Left::Spent((instance, live), handles),
            Some(instance) => Left::Ready((instance, live)),
        }
    }

    /// Takes leave of an instance that keeps handles over its calls: it would break when it has no more.
    async fn replace(&self, (instance, _live): Counted, handles: usize) {
        self.vitals.replaced();
        self.events.emit(Topic::PluginReplaced, || EventData::PluginReplaced {
            slot: self.slot.name().clone(),
            generation: self.holder.generation(),
            handles,
        });
        self.stop(instance).await;
    }

    fn began(&self, batch: &LeasedBatch) {
        self.vitals.offered();
        self.events.emit(Topic::BatchStart, || EventData::BatchStart {
            slot: self.slot.name().clone(),
            generation: self.holder.generation(),
            pushes: batch.len(),
            size: batch.bytes(),
        });
    }

    fn note(&self, answer: &Answer) {
        self.vitals.used(answer.usage.cpu, answer.memory_peak);
        self.vitals.not_normalised(answer.not_normalised);
        match (&answer.outcome, answer.outcome.reason(), &answer.denied) {
            (Outcome::Faulted(fault, message), ..) => self.crashed(fault.name(), message),
            (_, Some(reason), _) => self.vitals.failed(reason),
            // It asks for pushes again and cannot say why.
            (Outcome::Partial { .. }, None, Some(denied)) => self.vitals.failed(denied),
            _ => {}
        }
        self.said(&answer.said, answer.outcome == Outcome::Taken);
    }

    fn said(&self, said: &GuestReport, taken: bool) {
        if said.misconfigured.is_some() || taken {
            let news = self.vitals.misconfigured(said.misconfigured.as_deref());
            if let Some(reason) = said.misconfigured.as_ref().filter(|_| news) {
                self.events.emit(Topic::PluginMisconfigured, || EventData::PluginMisconfigured {
                    slot: self.slot.name().clone(),
                    reason: reason.clone(),
                });
            }
        }
        if said.rejected_points > 0 {
            self.vitals.rejected(said.rejected_points);
            self.events.emit(Topic::PluginRejectedPoints, || EventData::PluginRejectedPoints {
                slot: self.slot.name().clone(),
                points: said.rejected_points,
                reason: said.rejected_reason.clone(),
            });
        }
    }

    fn crashed(&self, cause: &'static str, message: &str) {
        self.vitals.crashed();
        self.vitals.failed(message);
        self.events.emit(Topic::PluginCrash, || EventData::PluginCrash {
            slot: self.slot.name().clone(),
            generation: self.holder.generation(),
            cause,
            message: message.to_owned(),
            will_restart: !self.holder.stopped(),
        });
    }

    async fn goodbye(mut self, (instance, _live): Counted) {
        drop(self.busy.take());
        self.stop(instance).await;
    }

    async fn stop(&self, instance: Instance) {
        if let Err(broken) = instance.stop().await {
            self.vitals.failed(&broken.message);
            tracing::warn!(
                plugin = &**self.slot.name(),
                generation = self.holder.generation(),
                "broke when it was stopped: {broken}"
            );
        }
    }
}

/// A batch of notices alone says nothing of a receiver.
fn batch_was_empty(settled: &Settlement) -> bool {
    settled.delivered + settled.dropped + settled.returned + settled.shed == 0
}

/// What is told about a batch after it was settled.
struct Facts {
    pushes: usize,
    points: u64,
    size: usize,
    queue_wait: Duration,
}

impl Facts {
    fn of(batch: &LeasedBatch) -> Self {
        Self { pushes: batch.len(), points: batch.points(), size: batch.bytes(), queue_wait: batch.queue_wait() }
    }
}
