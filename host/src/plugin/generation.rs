//! A generation: one artifact with its settings, grants and limits, and the instances that serve it.
//!
//! In: a blueprint and a first instance that has started. Out: batches settled, until it is drained and retired.
//! Draining lets its workers finish the batch they hold, under a deadline; what they still hold then goes back to the
//! front of its lanes when it is retired. Dropping a generation ends it without waiting.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::batch_mirror::BatchMirror;
use super::generation_stats::GenerationStats;
use super::instance::{Blueprint, ReceiverInstance};
use super::worker::Worker;
use crate::dispatch::{LaneSet, LeaseHolder, Slot};
use crate::event::Events;

/// One that serves.
pub struct Generation {
    /// Counts up by one per slot.
    pub number: u64,
    /// When it began to serve.
    pub since: SystemTime,
    /// How many instances it should have.
    pub instances: usize,
    /// What it was made from.
    pub blueprint: Arc<Blueprint>,
    /// What it used and said.
    pub stats: Arc<GenerationStats>,
    /// Where its batches can be watched.
    pub mirror: BatchMirror,
    holder: LeaseHolder,
    stop_signal: watch::Sender<bool>,
    /// Closed once no worker leases any more.
    leasing: mpsc::Receiver<()>,
    workers: JoinSet<()>,
}

/// One that has started and serves nothing yet.
pub struct Candidate {
    /// Counts up by one per slot.
    pub number: u64,
    /// What it is made from.
    pub blueprint: Arc<Blueprint>,
    /// Its first instance.
    pub first: ReceiverInstance,
    /// What that used.
    pub stats: Arc<GenerationStats>,
}

impl Candidate {
    /// Begins to serve these lanes: the first worker has the first instance, the others start instances of their own.
    pub fn serve(self, slot: &Slot, lanes: LaneSet, instances: usize, events: Events, guests: &Handle) -> Generation {
        let Self { number, blueprint, first, stats: vitals } = self;
        let holder = slot.holder(number, instances);
        holder.set_lanes(lanes);
        let (end, ending) = watch::channel(false);
        let (busy, leasing) = mpsc::channel(1);
        let mirror = BatchMirror::default();
        let worker = Worker {
            slot: slot.clone(),
            holder: holder.clone(),
            blueprint: blueprint.clone(),
            stats: vitals.clone(),
            events,
            ending,
            leasing: Some(busy),
            mirror: mirror.clone(),
        };
        let mut workers = JoinSet::new();
        for _ in 1..instances {
            workers.spawn_on(worker.clone().run(None), guests);
        }
        workers.spawn_on(worker.run(Some(first)), guests);
        let since = SystemTime::now();
        Generation {
            number,
            since,
            instances,
            blueprint,
            stats: vitals,
            mirror,
            holder,
            stop_signal: end,
            leasing,
            workers,
        }
    }
}

impl Generation {
    /// What its artifact asks for beside what every receiver has.
    pub fn grantable_imports(&self) -> Vec<String> {
        self.blueprint.artifact.inspection.grantable_imports()
    }

    /// Changes which lanes it leases from now on.
    pub fn set_lanes(&self, lanes: LaneSet) {
        self.holder.set_lanes(lanes);
    }

    /// As [`Holder::set_on_trial`].
    pub fn set_on_trial(&self, trial: bool) {
        self.holder.set_on_trial(trial);
    }

    /// Leases nothing more, from now on.
    pub fn stop_leasing(&self) {
        self.holder.stop();
        self.stop_signal.send_replace(true);
    }

    /// Leases nothing more and finishes what it holds. False if `deadline` came first.
    pub async fn drain(&mut self, deadline: Duration) -> bool {
        self.stop_leasing();
        // Nothing is ever sent: the channel closes when the last worker is done.
        timeout(deadline, self.leasing.recv()).await.is_ok()
    }

    /// Says goodbye to every instance and frees it; what is still held goes back. False if `deadline` came first.
    pub async fn retire(mut self, deadline: Duration) -> bool {
        self.stop_leasing();
        let done = async { while self.workers.join_next().await.is_some() {} };
        let in_time = timeout(deadline, done).await.is_ok();
        // Aborting drops a worker's batch, which returns it, and its instance, which cancels what it waits for.
        self.workers.shutdown().await;
        in_time
    }
}
