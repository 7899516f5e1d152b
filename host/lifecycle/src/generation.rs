//! A generation: one artifact with its settings, grants and limits, and the instances that serve it.
//!
//! In: a blueprint and a first instance that has started. Out: settled batches, until it is drained and retired.
//! Draining lets its workers finish their leased batches within a deadline; batches that are still leased when it is
//! retired return to the front of their lanes. Dropping a generation aborts it without waiting.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::batch_mirror::BatchMirror;
use super::generation_stats::GenerationStats;
use super::worker::Worker;
use barnabas_pipeline::dispatch::{LaneSet, LeaseHolder, Slot};
use barnabas_pipeline::event::Events;
use barnabas_runtime::instance::{Blueprint, ReceiverInstance};

/// A generation that serves.
pub struct Generation {
    /// Counts up by one per slot.
    pub number: u64,
    /// When it began to serve.
    pub since: SystemTime,
    /// How many instances it should have.
    pub instances: usize,
    /// What its instances are created from.
    pub blueprint: Arc<Blueprint>,
    /// Its resource usage and messages.
    pub stats: Arc<GenerationStats>,
    /// Where copies of its batches can be received.
    pub mirror: BatchMirror,
    holder: LeaseHolder,
    stop_signal: watch::Sender<bool>,
    /// Closed once no worker leases batches any more.
    leasing: mpsc::Receiver<()>,
    workers: JoinSet<()>,
}

/// A generation whose first instance has started and which serves no lanes yet.
pub struct Candidate {
    /// Counts up by one per slot.
    pub number: u64,
    /// What its instances are created from.
    pub blueprint: Arc<Blueprint>,
    /// Its first instance.
    pub first: ReceiverInstance,
    /// The resource usage of that instance.
    pub stats: Arc<GenerationStats>,
}

impl Candidate {
    /// Begins to serve these lanes: the first worker uses the first instance, the others start their own.
    pub fn serve(self, slot: &Slot, lanes: LaneSet, instances: usize, events: Events, guests: &Handle) -> Generation {
        let Self { number, blueprint, first, stats } = self;
        let holder = slot.holder(number, instances);
        holder.set_lanes(lanes);
        let (end, ending) = watch::channel(false);
        let (busy, leasing) = mpsc::channel(1);
        let mirror = BatchMirror::default();
        let worker = Worker {
            slot: slot.clone(),
            holder: holder.clone(),
            blueprint: blueprint.clone(),
            stats: stats.clone(),
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
        Generation { number, since, instances, blueprint, stats, mirror, holder, stop_signal: end, leasing, workers }
    }
}

impl Generation {
    /// The imports of its artifact that need a grant.
    pub fn grantable_imports(&self) -> Vec<String> {
        self.blueprint.artifact.inspection.grantable_imports()
    }

    /// Changes which lanes it leases from now on.
    pub fn set_lanes(&self, lanes: LaneSet) {
        self.holder.set_lanes(lanes);
    }

    /// See [`LeaseHolder::set_on_trial`].
    pub fn set_on_trial(&self, trial: bool) {
        self.holder.set_on_trial(trial);
    }

    /// Stops leasing batches immediately.
    pub fn stop_leasing(&self) {
        self.holder.stop();
        self.stop_signal.send_replace(true);
    }

    /// Stops leasing and finishes the leased batches. False if `deadline` passed first.
    pub async fn drain(&mut self, deadline: Duration) -> bool {
        self.stop_leasing();
        // Nothing is ever sent: the channel closes when the last worker stops leasing.
        timeout(deadline, self.leasing.recv()).await.is_ok()
    }

    /// Stops every instance and frees it; leased batches are returned. False if `deadline` passed first.
    pub async fn retire(mut self, deadline: Duration) -> bool {
        self.stop_leasing();
        let done = async { while self.workers.join_next().await.is_some() {} };
        let in_time = timeout(deadline, done).await.is_ok();
        // Aborting a worker drops its batch, which returns it, and its instance, which cancels its pending requests.
        self.workers.shutdown().await;
        in_time
    }
}
