//! Batches through one receiver, without any cluster: for `barnabas plugin run`, and for a candidate's self-test.
//!
//! In: an artifact and its settings, then batches. Out: a [`Tried`] for each. Bounded as a serving instance is. As in a
//! host, one instance takes one batch after the other and is replaced when it broke. Nothing is queued, retried or
//! counted in a ledger.

use std::sync::Arc;

use serde::Serialize;

use super::artifact::Artifact;
use super::engine::Engines;
use super::instance::{Blueprint, ReceiverInstance};
use super::limits::InstanceLimits;
use super::meter::CallUsage;
use super::runtime::GuestRuntime;
use crate::capability::batch::LentBatch;
use crate::capability::egress::{Egress, EgressMode, EgressOptions, Grants, Tap};
use crate::capability::log::{GuestLogLine, GuestLogMode, LogSink};
use crate::capability::report::GuestReport;
use crate::capability::state::SlotState;
use crate::decode::{NormaliseConfig, Payload};
use crate::dispatch::{Delivery, Outcome};
use crate::event::Events;

/// What to try.
pub struct Trial {
    /// For log lines and the guard.
    pub name: Arc<str>,
    /// The bytes of a component or core module.
    pub artifact: Vec<u8>,
    /// The text of one JSON object.
    pub settings: Arc<str>,
    /// What becomes of its requests. In capture, the caller keeps the other end.
    pub egress: EgressMode,
    /// Where requests that are sent are written down with their answers.
    pub tap: Option<Arc<Tap>>,
    /// Where it may send.
    pub grants: Arc<Grants>,
    /// What it may keep. Give a [`Shelf::scratch`], and nothing of it stays.
    pub state: SlotState,
    /// Of each instance.
    pub limits: InstanceLimits,
    /// What is rewritten of the pushes before they are lent.
    pub normalise: Option<Arc<NormaliseConfig>>,
}

/// A receiver that takes batches.
pub struct TrialSession {
    blueprint: Blueprint,
    instance: Option<ReceiverInstance>,
}

/// What was seen of one batch.
#[derive(Debug)]
pub struct TrialResult {
    /// What the receiver answered. An `Err` says why it never got the batch: no instance could be started.
    pub outcome: Result<Outcome, String>,
    /// Of instantiating and starting, where an instance was started for this batch.
    pub start: Option<TimeUsed>,
    /// Of the batch.
    pub export: TimeUsed,
    /// The most bytes of memory that the instance ever had.
    pub memory_peak: usize,
    /// What it reported.
    pub reported: GuestReport,
    /// Pushes that could not be normalised, and were lent as they are.
    pub not_normalised: usize,
    /// The last destination that was refused to it, in a sentence.
    pub denied_destination: Option<String>,
}

/// Time used.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TimeUsed {
    /// On the CPU, in microseconds.
    pub cpu_us: u64,
    /// On the wall, in microseconds.
    pub wall_us: u64,
}

impl From<CallUsage> for TimeUsed {
    fn from(usage: CallUsage) -> Self {
        let us = |d: std::time::Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Self { cpu_us: us(usage.cpu), wall_us: us(usage.wall) }
    }
}

impl Trial {
    /// Compiles and links. An `Err` says why the artifact cannot be loaded.
    pub async fn load(self, engines: &Engines, guests: &GuestRuntime) -> Result<TrialSession, String> {
        let (engines, bytes) = (engines.clone(), self.artifact);
        let load = move || Artifact::from_bytes(&engines, &bytes);
        let artifact =
            guests.handle().spawn_blocking(load).await.map_err(|_| "the host broke while it loaded this")??;
        let options = EgressOptions { tap: self.tap, ..EgressOptions::default() };
        Ok(TrialSession::new(Blueprint {
            artifact,
            settings: self.settings,
            limits: self.limits,
            normalise: self.normalise,
            egress: Egress::with_options(self.name.clone(), self.grants, self.egress, Events::new(), options),
            state: self.state,
            log: Arc::new(LogSink::new(self.name, 0, GuestLogMode::AllLevels)),
        }))
    }
}

impl TrialSession {
    pub(super) fn new(blueprint: Blueprint) -> Self {
        Self { blueprint, instance: None }
    }

    /// Offers a batch to the instance at hand, else to a new one. On the guests' runtime.
    pub async fn offer(&mut self, pushes: &[Arc<Payload>]) -> TrialResult {
        let mut tried = TrialResult {
            outcome: Err(String::new()),
            start: None,
            export: TimeUsed::default(),
            memory_peak: 0,
            reported: GuestReport::default(),
            not_normalised: 0,
            denied_destination: None,
        };
        let instance = match self.instance.take() {
            Some(instance) => instance,
            None => match ReceiverInstance::start(&self.blueprint).await {
                Ok((instance, usage)) => {
                    tried.start = Some(usage.into());
                    instance
                }
                Err(error) => return TrialResult { outcome: Err(error.to_string()), ..tried },
            },
        };
        let deliveries = pushes.iter().map(|payload| Delivery { payload: payload.clone(), attempt: 1 }).collect();
        let answer = instance.export(LentBatch { deliveries, gone: Arc::default() }).await;
        self.instance = answer.instance;
        TrialResult {
            outcome: Ok(answer.outcome),
            export: answer.usage.into(),
            memory_peak: answer.memory_peak,
            reported: answer.reported,
            not_normalised: answer.not_normalised,
            denied_destination: answer.denied_destination,
            ..tried
        }
    }

    /// The lines that the receiver wrote since this was last asked.
    pub fn take_lines(&self) -> Vec<GuestLogLine> {
        self.blueprint.log.drain()
    }

    /// Says goodbye to the instance. Why it broke at that, if it did. On the guests' runtime.
    pub async fn stop(&mut self) -> Option<String> {
        let instance = self.instance.take()?;
        instance.stop().await.err().map(|broken| broken.to_string())
    }
}
