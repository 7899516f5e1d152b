//! A receiver's slot in dispatch: its queue, its ledger and its settings. Generations come and go; the slot stays.
//!
//! In: payloads and notices from [`Dispatch`](super::Dispatch). Out: batches, leased by the workers of a
//! [`LeaseHolder`]. Never: holds the queue's lock over an await or while events are emitted.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::draw::DrawResult;
use super::key::ordering_hash;
use super::lane::LeasedEntries;
use super::ledger::{Ledger, LedgerMoves};
use super::queue::{Lease, Queue};
use super::{LeaseHolder, LeasedBatch, Outcome, Settlement, SlotConfig};
use crate::decode::Payload;
use crate::event::Events;
use crate::push::{DepartedClient, Ingress};

/// Handle to a slot. Cheap to clone; it stays usable after the slot is closed, and then leases nothing.
#[derive(Clone)]
pub struct Slot(Arc<SlotShared>);

/// A slot at one moment, read under one lock.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SlotSnapshot {
    /// The accounts of its pushes.
    pub ledger: Ledger,
    /// Whether new pushes are queued.
    pub serving: bool,
    /// Lanes with an unsettled batch.
    pub leased_lanes: usize,
    /// Lanes that wait after a failure.
    pub waiting_lanes: usize,
    /// How long the oldest queued push has waited.
    #[serde(rename = "oldest_seconds", serialize_with = "barnabas_base::units::optional_seconds")]
    pub oldest: Option<Duration>,
    /// How long until the first waiting lane is retried.
    #[serde(rename = "next_retry_seconds", serialize_with = "barnabas_base::units::optional_seconds")]
    pub next_retry: Option<Duration>,
    /// Waiting notices of departed clients.
    pub notices: usize,
}

impl Slot {
    pub(super) fn new(name: Arc<str>, config: SlotConfig, events: Events) -> Self {
        let queue = Mutex::new(Queue::new(config.lanes));
        let config = RwLock::new(Arc::new(config));
        Self(Arc::new(SlotShared { name, config, queue, changed: Notify::new(), events }))
    }

    /// The name it was opened with.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The number of lanes.
    pub fn lanes(&self) -> usize {
        self.0.lock().lanes.len()
    }

    /// The current settings.
    pub fn config(&self) -> Arc<SlotConfig> {
        self.0.config()
    }

    /// Changes the settings of an open slot; the number of lanes stays the same. A smaller bound takes effect with the
    /// next push, nothing is shed immediately.
    pub fn reconfigure(&self, config: SlotConfig) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.0.wake();
    }

    /// If `false`, new pushes are counted as shed (`no-receiver`) and queued pushes stay. A new slot is serving: pushes
    /// that arrive while its receiver is being loaded are queued.
    pub fn set_serving(&self, serving: bool) {
        self.0.lock().serving = serving;
        self.0.wake();
    }

    /// Creates the right to lease, for all `workers` of one generation together; it covers all lanes until
    /// [`LeaseHolder::set_lanes`] changes that.
    pub fn holder(&self, generation: u64, workers: usize) -> LeaseHolder {
        LeaseHolder::new(self.0.clone(), generation, workers)
    }

    /// Waits for the next batch. Returns `None` if the slot is closed or the holder was stopped. Any number of workers
    /// may wait at the same time; dropping the future loses nothing.
    pub async fn lease(&self, holder: &LeaseHolder) -> Option<LeasedBatch> {
        debug_assert!(holder.belongs_to(&self.0), "a holder leases from the slot that made it");
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // Registered before the look, so that no change is missed between look and wait.
            changed.as_mut().enable();
            match self.0.draw(holder)? {
                Ok(batch) => return Some(batch),
                Err(None) => changed.await,
                Err(Some(due)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(due) => {}
                },
            }
        }
    }

    /// Lets every lane that waits after a failure be leased immediately: a new generation, or a repaired sink, need not
    /// wait for the backoff of the old one.
    pub fn retry_now(&self) {
        self.0.lock().retry_now();
        self.0.wake();
    }

    /// Waits until nothing is queued or in flight, without lingering meanwhile. Returns false if the deadline came
    /// first. Does not shorten the wait of lanes after a failure.
    pub async fn drain(&self, deadline: Instant) -> bool {
        let _no_linger = DrainGuard::start(&self.0);
        loop {
            let mut changed = pin!(self.0.changed.notified());
            changed.as_mut().enable();
            if self.0.lock().is_idle() {
                return true;
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(deadline) => return self.0.lock().is_idle(),
            }
        }
    }

    /// The ledger at this moment.
    pub fn ledger(&self) -> Ledger {
        self.0.lock().ledger.clone()
    }

    /// Everything that is visible from outside, at this moment.
    pub fn snapshot(&self) -> SlotSnapshot {
        let now = Instant::now();
        let queue = self.0.lock();
        let lanes = || queue.lanes.iter();
        SlotSnapshot {
            ledger: queue.ledger.clone(),
            serving: queue.serving,
            leased_lanes: lanes().filter(|lane| lane.leased).count(),
            waiting_lanes: lanes().filter(|lane| lane.waits_until(now).is_some()).count(),
            oldest: lanes().filter_map(|lane| lane.pushes.front()).map(|entry| now.duration_since(entry.arrived)).max(),
            next_retry: lanes().filter_map(|lane| lane.waits_until(now)).min().map(|until| until.duration_since(now)),
            notices: queue.notices,
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Whether it wants pushes like this one.
    pub fn wants(&self, payload: &Payload) -> bool {
        self.0.config().wants.matches(payload.client(), payload.ingress())
    }

    /// Queues a push. Returns false if the slot is closed: then the push is not in its accounts.
    pub(super) fn offer(&self, payload: Arc<Payload>) -> bool {
        let hash = ordering_hash(payload.client(), payload.ingress());
        let config = self.0.config();
        let mut queue = self.0.lock();
        if queue.closed {
            return false;
        }
        // Read under the lock, so that arrival times ascend along the lanes.
        let now = Instant::now();
        let before = queue.lane_state(hash, now);
        let moves = queue.offer(hash, payload, &config, now);
        let wake = queue.should_wake(before, &config);
        self.0.publish(queue, moves, None, wake);
        true
    }

    pub(super) fn notify_gone(&self, departed: DepartedClient) {
        let config = self.0.config();
        // Only clients of the Kafka listener have an end that the host notices.
        if !config.wants.matches(&departed.client, Ingress::Kafka) {
            return;
        }
        let hash = ordering_hash(&departed.client, Ingress::Kafka);
        let mut queue = self.0.lock();
        let now = Instant::now();
        let before = queue.lane_state(hash, now);
        queue.notice(hash, departed, now);
        let wake = queue.should_wake(before, &config);
        self.0.publish(queue, LedgerMoves::default(), None, wake);
    }

    pub(super) fn close(&self) {
        let mut queue = self.0.lock();
        let moves = queue.close();
        self.0.publish(queue, moves, None, true);
    }
}

/// What handles, holders and batches of a slot share.
pub(super) struct SlotShared {
    name: Arc<str>,
    config: RwLock<Arc<SlotConfig>>,
    queue: Mutex<Queue>,
    /// Notified whenever an idle worker, or a drain, should look again.
    changed: Notify,
    events: Events,
}

impl SlotShared {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn settle(&self, entries: Vec<LeasedEntries>, lease: &Lease, outcome: &Outcome) -> Settlement {
        let config = self.config();
        let mut queue = self.lock();
        let (moves, settled) = queue.settle(entries, lease, outcome, &config, Instant::now());
        self.publish(queue, moves, outcome.reason(), true);
        settled
    }

    pub(super) fn return_unsettled(&self, entries: Vec<LeasedEntries>) {
        let mut queue = self.lock();
        let moves = queue.return_unsettled(entries);
        self.publish(queue, moves, None, true);
    }

    /// A batch, or when to try again; `None` if there will be no more.
    fn draw(self: &Arc<Self>, holder: &LeaseHolder) -> Option<Result<LeasedBatch, Option<Instant>>> {
        let (config, share, now) = (self.config(), holder.share(), Instant::now());
        let mut queue = self.lock();
        if queue.closed || holder.stopped() {
            return None;
        }
        let mut entries = match queue.draw(&config, &share, now) {
            DrawResult::Ready(held) => held,
            DrawResult::Later(due) => return Some(Err(due)),
        };
        let moves = queue.record_lease(&mut entries);
        // Created first: whatever a listener of events does, dropping the batch returns everything.
        let batch = LeasedBatch::new(
            self.clone(),
            Lease { generation: share.generation, trial: share.trial, at: now },
            entries,
        );
        self.publish(queue, moves, None, false);
        Some(Ok(batch))
    }

    /// Releases the lock, then emits what was done under it.
    fn publish(&self, queue: MutexGuard<'_, Queue>, moves: LedgerMoves, reason: Option<&str>, wake: bool) {
        debug_assert!(queue.ledger.is_balanced(), "a push is in no term or in two: {:?}", queue.ledger);
        drop(queue);
        moves.emit(&self.events, &self.name, reason);
        if wake {
            self.wake();
        }
    }

    fn config(&self) -> Arc<SlotConfig> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn inspect<T>(&self, look: impl FnOnce(&Queue) -> T) -> T {
        look(&self.lock())
    }
}

#[cfg(test)]
impl Slot {
    pub(super) fn inspect<T>(&self, look: impl FnOnce(&Queue) -> T) -> T {
        self.0.inspect(look)
    }
}

/// While it exists, nothing lingers.
struct DrainGuard<'a>(&'a SlotShared);

impl<'a> DrainGuard<'a> {
    fn start(slot: &'a SlotShared) -> Self {
        slot.lock().drains += 1;
        slot.wake();
        Self(slot)
    }
}

impl Drop for DrainGuard<'_> {
    fn drop(&mut self) {
        self.0.lock().drains -= 1;
    }
}
