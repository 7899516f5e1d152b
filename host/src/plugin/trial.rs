//! One batch through one receiver, without any cluster: for `barnabas plugin run`, and for a candidate's self-test.
//!
//! In: an artifact, settings and pushes. Out: a [`Report`] of all that could be seen. Bounded as a serving instance is.
//! Nothing is queued, retried or counted in a ledger.

use std::sync::Arc;

use serde::Serialize;

use super::artifact::{Artifact, Inspection};
use super::engine::Engines;
use super::instance::{Blueprint, Instance};
use super::limits::Limits;
use super::meter::Usage;
use super::runtime::GuestRuntime;
use crate::capability::batch::LentBatch;
use crate::capability::egress::{Egress, EgressMode, Grants};
use crate::capability::log::{Keep, Line, LogSink};
use crate::capability::report::Said;
use crate::capability::state::Shelf;
use crate::decode::{Normalise, Payload};
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
    /// The batch.
    pub pushes: Vec<Arc<Payload>>,
    /// What becomes of its requests. In capture, the caller keeps the other end.
    pub egress: EgressMode,
    /// Where it may send.
    pub grants: Arc<Grants>,
    /// What it may keep. Give a [`Shelf::scratch`], and nothing of it stays.
    pub state: Shelf,
    /// Of the instance.
    pub limits: Limits,
    /// What is rewritten of the pushes before they are lent.
    pub normalise: Option<Arc<Normalise>>,
}

/// What was seen.
#[derive(Debug)]
pub struct Report {
    /// Of the artifact.
    pub inspection: Inspection,
    /// What the receiver answered. An `Err` says why it never got the batch.
    pub outcome: Result<Outcome, String>,
    /// Of instantiating and starting.
    pub start: Used,
    /// Of the batch.
    pub export: Used,
    /// The most bytes of memory it had.
    pub memory_peak: usize,
    /// Lines it wrote.
    pub lines: Vec<Line>,
    /// What it reported.
    pub said: Said,
    /// Pushes that could not be normalised, and were lent as they are.
    pub not_normalised: usize,
    /// The last destination that was refused to it, in a sentence.
    pub denied: Option<String>,
    /// Why it broke when it was stopped.
    pub stop_failure: Option<String>,
}

/// Time used.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Used {
    /// On the CPU, in microseconds.
    pub cpu_us: u64,
    /// On the wall, in microseconds.
    pub wall_us: u64,
}

impl From<Usage> for Used {
    fn from(usage: Usage) -> Self {
        let us = |d: std::time::Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Self { cpu_us: us(usage.cpu), wall_us: us(usage.wall) }
    }
}

impl Trial {
    /// Loads, starts, offers the batch, stops. An `Err` says why the artifact cannot be loaded.
    pub async fn run(self, engines: &Engines, guests: &GuestRuntime) -> Result<Report, String> {
        let (engines, bytes) = (engines.clone(), self.artifact);
        let load = move || Artifact::from_bytes(&engines, &bytes);
        let artifact =
            guests.handle().spawn_blocking(load).await.map_err(|_| "the host broke while it loaded this")??;
        let blueprint = Blueprint {
            artifact,
            settings: self.settings,
            limits: self.limits,
            normalise: self.normalise,
            egress: Egress::new(self.name.clone(), self.grants, self.egress, Events::new()),
            state: self.state,
            log: Arc::new(LogSink::new(self.name, 0, Keep::All)),
        };
        let run = offer(blueprint, self.pushes);
        guests.handle().spawn(run).await.map_err(|_| "the host broke while it ran this".into())
    }
}

/// The trial itself: starts, offers, stops. On the guests' runtime.
pub(super) async fn offer(blueprint: Blueprint, pushes: Vec<Arc<Payload>>) -> Report {
    let mut report = Report {
        inspection: blueprint.artifact.inspection.clone(),
        outcome: Err(String::new()),
        start: Used::default(),
        export: Used::default(),
        memory_peak: 0,
        lines: Vec::new(),
        said: Said::default(),
        not_normalised: 0,
        denied: None,
        stop_failure: None,
    };
    match Instance::start(&blueprint).await {
        Err(error) => report.outcome = Err(error.to_string()),
        Ok((instance, usage)) => {
            report.start = usage.into();
            export(&mut report, instance, pushes).await;
        }
    }
    report.lines = blueprint.log.recent();
    report
}

async fn export(report: &mut Report, instance: Instance, pushes: Vec<Arc<Payload>>) {
    let deliveries = pushes.into_iter().map(|payload| Delivery { payload, attempt: 1 }).collect();
    let answer = instance.export(LentBatch { deliveries, gone: Arc::default() }).await;
    report.outcome = Ok(answer.outcome);
    report.export = answer.usage.into();
    report.memory_peak = answer.memory_peak;
    report.said = answer.said;
    report.not_normalised = answer.not_normalised;
    report.denied = answer.denied;
    if let Some(instance) = answer.instance {
        report.stop_failure = instance.stop().await.err().map(|broken| broken.to_string());
    }
}
