//! A generation: one artifact with its settings, grants and limits, and the instances that serve it.
//!
//! In: a blueprint and a first instance that has started. Out: batches settled, until it is retired. Retiring lets its
//! workers finish the batch they hold, under a deadline; what they still hold then goes back to the front of its
//! lanes. Dropping a generation ends it without waiting.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::instance::{Blueprint, Instance};
use super::vitals::Vitals;
use super::worker::Worker;
use crate::dispatch::{Holder, Slot};
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
    pub vitals: Arc<Vitals>,
    holder: Holder,
    end: watch::Sender<bool>,
    workers: JoinSet<()>,
}

/// One that has started and serves nothing yet.
pub struct Candidate {
    /// Counts up by one per slot.
    pub number: u64,
    /// What it is made from.
    pub blueprint: Arc<Blueprint>,
    /// Its first instance.
    pub first: Instance,
    /// What that used.
    pub vitals: Arc<Vitals>,
}

impl Candidate {
    /// Begins to serve: the first worker has the first instance, the others start instances of their own.
    pub fn serve(self, slot: &Slot, instances: usize, events: Events, guests: &Handle) -> Generation {
        let Self { number, blueprint, first, vitals } = self;
        let holder = slot.holder(number, instances);
        let (end, ending) = watch::channel(false);
        let worker = Worker {
            slot: slot.clone(),
            holder: holder.clone(),
            blueprint: blueprint.clone(),
            vitals: vitals.clone(),
            events,
            ending,
        };
        let mut workers = JoinSet::new();
        workers.spawn_on(worker.clone().run(Some(first)), guests);
        for _ in 1..instances {
            workers.spawn_on(worker.clone().run(None), guests);
        }
        Generation { number, since: SystemTime::now(), instances, blueprint, vitals, holder, end, workers }
    }
}

impl Generation {
    /// Leases nothing more, finishes what it holds, says goodbye. False if `deadline` came first.
    pub async fn retire(mut self, deadline: Duration) -> bool {
        self.holder.stop();
        self.end.send_replace(true);
        let done = async { while self.workers.join_next().await.is_some() {} };
        let in_time = tokio::time::timeout(deadline, done).await.is_ok();
        // Aborting drops a worker's batch, which returns it, and its instance, which cancels what it waits for.
        self.workers.shutdown().await;
        in_time
    }
}
