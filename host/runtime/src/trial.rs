//! Exports batches with one receiver, without a cluster: for `barnabas plugin run`, and for a candidate's self-test.
//!
//! In: an artifact and its settings, then batches. Out: a [`TrialResult`] for each. Bounded like a serving instance. As
//! in a host, one instance exports one batch after the other and is replaced when it has failed. Nothing is queued,
//! retried or counted in a ledger.

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
use barnabas_pipeline::decode::{NormaliseConfig, Payload};
use barnabas_pipeline::dispatch::{Delivery, Outcome};
use barnabas_pipeline::event::Events;

/// The receiver to try, and its environment.
pub struct Trial {
    /// The name for log lines and egress.
    pub name: Arc<str>,
    /// The bytes of a component or core module.
    pub artifact: Vec<u8>,
    /// The settings: the text of one JSON object.
    pub settings: Arc<str>,
    /// Whether its requests are sent or captured.
    pub egress: EgressMode,
    /// Where sent requests are recorded with their responses.
    pub tap: Option<Arc<Tap>>,
    /// The destinations to which it may send.
    pub grants: Arc<Grants>,
    /// The state that it may store; with [`SlotState::trial_overlay`] nothing of it persists.
    pub state: SlotState,
    /// Of each instance.
    pub limits: InstanceLimits,
    /// How pushes are rewritten before they are lent to the guest.
    pub normalise: Option<Arc<NormaliseConfig>>,
}

/// A receiver that can export batches.
pub struct TrialSession {
    blueprint: Blueprint,
    instance: Option<ReceiverInstance>,
}

/// The result of one batch.
#[derive(Debug)]
pub struct TrialResult {
    /// The receiver's outcome. An `Err` says why it never received the batch: no instance could be started.
    pub outcome: Result<Outcome, String>,
    /// Time used to instantiate and start, if an instance was started for this batch.
    pub start: Option<TimeUsed>,
    /// Time used to export the batch.
    pub export: TimeUsed,
    /// Peak memory of the instance in bytes.
    pub memory_peak: usize,
    /// What it reported.
    pub reported: GuestReport,
    /// Number of pushes that could not be normalised and were lent unchanged.
    pub not_normalised: usize,
    /// The last destination that was denied, as a sentence.
    pub denied_destination: Option<String>,
}

/// Time used.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TimeUsed {
    /// CPU time in microseconds.
    pub cpu_us: u64,
    /// Wall time in microseconds.
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
        let artifact = guests
            .handle()
            .spawn_blocking(load)
            .await
            .map_err(|_| "internal error: loading the artifact panicked")??;
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
    /// A session of this blueprint that has no instance yet.
    pub fn new(blueprint: Blueprint) -> Self {
        Self { blueprint, instance: None }
    }

    /// Exports a batch with the current instance, or with a new one. Runs on the guests' runtime.
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

    /// Returns the log lines that the receiver wrote since the last call.
    pub fn take_lines(&self) -> Vec<GuestLogLine> {
        self.blueprint.log.drain()
    }

    /// Stops the instance. Returns why it failed, if it did. Runs on the guests' runtime.
    pub async fn stop(&mut self) -> Option<String> {
        let instance = self.instance.take()?;
        instance.stop().await.err().map(|broken| broken.to_string())
    }
}
