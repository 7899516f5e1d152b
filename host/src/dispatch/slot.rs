//! A receiver's place in dispatch: its queue, its ledger and its policy. Generations come and go; the slot stays.
//!
//! In: payloads and notices from [`Dispatch`](super::Dispatch). Out: batches, leased by the workers of a [`Holder`].
//! The queue's lock is never held over an await and never while events are told.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::draw::Draw;
use super::key::ordering_hash;
use super::lane::Held;
use super::ledger::{Ledger, Moves};
use super::queue::{Lease, Queue};
use super::{Batch, Holder, Outcome, Settled, SlotConfig};
use crate::decode::Payload;
use crate::event::Events;
use crate::push::{Departed, WayIn};

/// Handle on a slot. Cheap to clone; it stays usable after the slot is closed, and then leases nothing.
#[derive(Clone)]
pub struct Slot(Arc<Shared>);

/// A slot at one moment. All of it is read under one lock.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Where the pushes are.
    pub ledger: Ledger,
    /// Whether new pushes are queued.
    pub serving: bool,
    /// Lanes with an unsettled batch.
    pub leased_lanes: usize,
    /// Lanes that wait after a failure.
    pub waiting_lanes: usize,
    /// How long the oldest queued push has been here.
    #[serde(rename = "oldest_seconds", serialize_with = "crate::units::maybe_seconds")]
    pub oldest: Option<Duration>,
    /// How long until the first waiting lane is tried again.
    #[serde(rename = "next_retry_seconds", serialize_with = "crate::units::maybe_seconds")]
    pub next_retry: Option<Duration>,
    /// Notices of departed clients that wait.
    pub notices: usize,
}

impl Slot {
    pub(super) fn new(name: Arc<str>, config: SlotConfig, events: Events) -> Self {
        let queue = Mutex::new(Queue::new(config.lanes));
        let config = RwLock::new(Arc::new(config));
        Self(Arc::new(Shared { name, config, queue, changed: Notify::new(), events }))
    }

    /// The name it was opened under.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// How many lanes it has.
    pub fn lanes(&self) -> usize {
        self.0.lock().lanes.len()
    }

    /// The settings in force.
    pub fn config(&self) -> Arc<SlotConfig> {
        self.0.config()
    }

    /// Changes the settings of an open slot; the number of lanes stays what it was. A smaller bound is met by what
    /// comes next, nothing is shed at once.
    pub fn reconfigure(&self, config: SlotConfig) {
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        self.0.wake();
    }

    /// With `false`, new pushes are counted as shed (`no-receiver`); what is queued stays. A new slot serves: pushes
    /// that come while its receiver is being loaded wait for it.
    pub fn set_serving(&self, serving: bool) {
        self.0.lock().serving = serving;
        self.0.wake();
    }

    /// The right to lease, for the `workers` of one generation together; all lanes until
    /// [`Holder::set_lanes`] says otherwise.
    pub fn holder(&self, generation: u64, workers: usize) -> Holder {
        Holder::new(self.0.clone(), generation, workers)
    }

    /// Waits for the next batch. `None` when the slot is closed or the holder was told to stop. Any number of workers
    /// may wait at once; dropping the future loses nothing.
    pub async fn lease(&self, holder: &Holder) -> Option<Batch> {
        debug_assert!(holder.is_of(&self.0), "a holder leases from the slot that made it");
        loop {
            let mut changed = pin!(self.0.changed.notified());
            // Registered before looking, so that no change falls between look and wait.
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

    /// Lets every lane that waits after a failure be leased at once: a new generation, or a mended sink, need not sit
    /// out the old one's wait.
    pub fn retry_now(&self) {
        self.0.lock().retry_now();
        self.0.wake();
    }

    /// Waits until nothing is queued or in flight, without lingering meanwhile. False if the deadline came first.
    /// Lanes that wait after a failure are not hurried.
    pub async fn drain(&self, deadline: Instant) -> bool {
        let _no_linger = Draining::begin(&self.0);
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

    /// All that can be seen from outside, at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let now = Instant::now();
        let queue = self.0.lock();
        let lanes = || queue.lanes.iter();
        Snapshot {
            ledger: queue.ledger.clone(),
            serving: queue.serving,
            leased_lanes: lanes().filter(|lane| lane.leased).count(),
            waiting_lanes: lanes().filter(|lane| lane.waits(now).is_some()).count(),
            oldest: lanes().filter_map(|lane| lane.pushes.front()).map(|entry| now.duration_since(entry.at)).max(),
            next_retry: lanes().filter_map(|lane| lane.waits(now)).min().map(|until| until.duration_since(now)),
            notices: queue.notices,
        }
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// Whether it is offered pushes like this one.
    pub fn wants(&self, payload: &Payload) -> bool {
        self.0.config().wants.matches(payload.client(), payload.way_in())
    }

    /// Takes a push in. False if the slot is closed: then it is not this slot's to account for.
    pub(super) fn offer(&self, payload: Arc<Payload>) -> bool {
        let hash = ordering_hash(payload.client(), payload.way_in());
        let config = self.0.config();
        let mut queue = self.0.lock();
        if queue.closed {
            return false;
        }
        // Read under the lock, so that arrival times ascend along the lanes.
        let now = Instant::now();
        let before = queue.standing(hash, now);
        let moves = queue.offer(hash, payload, &config, now);
        let news = queue.is_news(before, &config);
        self.0.publish(queue, moves, None, news);
        true
    }

    pub(super) fn gone(&self, departed: Departed) {
        let config = self.0.config();
        // Only clients of the Kafka listener have an end that the host learns of.
        if !config.wants.matches(&departed.client, WayIn::Kafka) {
            return;
        }
        let hash = ordering_hash(&departed.client, WayIn::Kafka);
        let mut queue = self.0.lock();
        let now = Instant::now();
        let before = queue.standing(hash, now);
        queue.notice(hash, departed, now);
        let news = queue.is_news(before, &config);
        self.0.publish(queue, Moves::default(), None, news);
    }

    pub(super) fn close(&self) {
        let mut queue = self.0.lock();
        let moves = queue.close();
        self.0.publish(queue, moves, None, true);
    }
}

/// What handles, holders and batches of a slot share.
pub(super) struct Shared {
    name: Arc<str>,
    config: RwLock<Arc<SlotConfig>>,
    queue: Mutex<Queue>,
    /// Told whenever a worker that found nothing, or a drain, should look again.
    changed: Notify,
    events: Events,
}

impl Shared {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    pub(super) fn settle(&self, held: Vec<Held>, lease: &Lease, outcome: &Outcome) -> Settled {
        let config = self.config();
        let mut queue = self.lock();
        let (moves, settled) = queue.settle(held, lease, outcome, &config, Instant::now());
        self.publish(queue, moves, outcome.reason(), true);
        settled
    }

    pub(super) fn give_back(&self, held: Vec<Held>) {
        let mut queue = self.lock();
        let moves = queue.give_back(held);
        self.publish(queue, moves, None, true);
    }

    /// A batch, or when to ask again; `None` if there will be none.
    fn draw(self: &Arc<Self>, holder: &Holder) -> Option<Result<Batch, Option<Instant>>> {
        let (config, share, now) = (self.config(), holder.share(), Instant::now());
        let mut queue = self.lock();
        if queue.closed || holder.stopped() {
            return None;
        }
        let mut held = match queue.draw(&config, &share, now) {
            Draw::Ready(held) => held,
            Draw::Later(due) => return Some(Err(due)),
        };
        let moves = queue.lend(&mut held);
        // Made first: whatever a listener of events does, its drop gives everything back.
        let batch = Batch::new(self.clone(), Lease { generation: share.generation, trial: share.trial, at: now }, held);
        self.publish(queue, moves, None, false);
        Some(Ok(batch))
    }

    /// Releases the lock, then tells what was done under it.
    fn publish(&self, queue: MutexGuard<'_, Queue>, moves: Moves, reason: Option<&str>, news: bool) {
        debug_assert!(queue.ledger.balanced(), "a push is in no term, or in two: {:?}", queue.ledger);
        drop(queue);
        moves.emit(&self.events, &self.name, reason);
        if news {
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

/// While it lives, nothing lingers.
struct Draining<'a>(&'a Shared);

impl<'a> Draining<'a> {
    fn begin(slot: &'a Shared) -> Self {
        slot.lock().draining += 1;
        slot.wake();
        Self(slot)
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        self.0.lock().draining -= 1;
    }
}
