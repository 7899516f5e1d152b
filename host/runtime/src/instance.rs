//! One instance of a receiver: a Store, and the calls into it.
//!
//! In: a [`Blueprint`], then batches. Out: results. Every call has a CPU limit and a wall deadline; memory is limited
//! over the whole Store. By type, an instance that failed is gone: a call consumes the instance and returns it only if
//! it can be called again. Never retries, never waits for work.

mod failure;

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};

use super::artifact::Artifact;
use super::limits::{InstanceLimits, MAX_HANDLES, MAX_HOST_CALL_BYTES, MemoryLimiter};
use super::meter::{CallMeter, CallUsage, GuestCallError, LimitCheck};
use crate::capability::HostState;
use crate::capability::batch::LentBatch;
use crate::capability::egress::{Egress, SentRequest};
use crate::capability::log::{GuestLog, LogSink};
use crate::capability::report::GuestReport;
use crate::capability::state::SlotState;
use crate::contract::CONTENT_TYPE;
use crate::contract::wit::exports::kafka_telemetry::receiver::export_metrics::ExportError;
use crate::contract::wit::{Receiver, ReceiverPre};
use barnabas_base::text;
use barnabas_pipeline::decode::NormaliseConfig;
use barnabas_pipeline::dispatch::Outcome;

pub use failure::InstanceFailure;

/// Everything that the instances of a generation are created from.
#[derive(Clone)]
pub struct Blueprint {
    /// The compiled and linked artifact.
    pub artifact: Artifact,
    /// The settings for `start`: the text of one JSON object.
    pub settings: Arc<str>,
    /// The limits of each instance.
    pub limits: InstanceLimits,
    /// How pushes are rewritten before they are lent to the guest.
    pub normalise: Option<Arc<NormaliseConfig>>,
    /// The egress for HTTP requests, shared so that instances share its connections.
    pub egress: Egress,
    /// The state of its slot.
    pub state: SlotState,
    /// The sink of its log lines.
    pub log: Arc<LogSink>,
}

/// A started instance of a receiver.
pub struct ReceiverInstance {
    store: Store<HostState>,
    guest: Receiver,
    meter: Arc<CallMeter>,
    limits: InstanceLimits,
    normalise: Option<Arc<NormaliseConfig>>,
}

/// The result of exporting a batch.
pub struct ExportResult {
    /// The outcome, for dispatch.
    pub outcome: Outcome,
    /// CPU and wall time of the call.
    pub usage: CallUsage,
    /// What the guest reported during the call.
    pub reported: GuestReport,
    /// Peak memory of the instance in bytes.
    pub memory_peak: usize,
    /// The requests that it sent during the call, if they are being compared.
    pub sent: Vec<SentRequest>,
    /// Number of pushes that could not be normalised and were lent unchanged.
    pub not_normalised: usize,
    /// The last destination that was denied during the call, as a sentence. The outcome contains it as well.
    pub denied_destination: Option<String>,
    /// Number of handles that the guest holds after the call.
    pub handles: usize,
    /// The instance, to be called again; `None` if it failed.
    pub instance: Option<ReceiverInstance>,
}

/// Why an instance did not start.
#[derive(Debug, thiserror::Error)]
pub enum InstanceStartError {
    /// The guest returned an error from `start`.
    #[error("the receiver refused to start: {0}")]
    Refused(String),
    /// The guest accepts none of the content types that this host delivers.
    #[error("the receiver accepts {} and this host delivers `{CONTENT_TYPE}`", quoted_list(.0))]
    UnsupportedContentTypes(Vec<String>),
    /// The guest failed, or the host did.
    #[error("the receiver failed to start: {0}")]
    Failed(InstanceFailure),
}

fn quoted_list(types: &[String]) -> String {
    if types.is_empty() { "no content type".into() } else { format!("`{}`", types.join("`, `")) }
}

impl ReceiverInstance {
    /// Instantiates and starts a receiver. Returns what the start used as well.
    pub async fn start(blueprint: &Blueprint) -> Result<(Self, CallUsage), InstanceStartError> {
        let started = Self::try_start(blueprint).await;
        started.inspect_err(|error| blueprint.log.add_host_line(error.to_string()))
    }

    async fn try_start(blueprint: &Blueprint) -> Result<(Self, CallUsage), InstanceStartError> {
        let (mut instance, instantiated) = Self::instantiate(blueprint).await.map_err(InstanceStartError::Failed)?;
        let allowance = instance.limits.start.saturating_sub(instantiated.wall);
        let lifecycle = instance.guest.kafka_telemetry_receiver_lifecycle();
        let start = lifecycle.call_start(&mut instance.store, &blueprint.settings);
        let (result, started) = instance.meter.run(allowance, allowance, start).await;
        let result = result.map_err(|halt| InstanceStartError::Failed(instance.failure(halt)))?;
        if let Err(reason) = result {
            let denied = instance.store.data().end_call();
            return Err(InstanceStartError::Refused(with_denied_destination(
                text::sentence(&reason),
                denied.as_deref(),
            )));
        }
        let asked = instance.check_content_types(allowance.saturating_sub(started.wall)).await?;
        instance.store.data_mut().take_report();
        instance.store.data().end_call();
        Ok((instance, sum([instantiated, started, asked])))
    }

    async fn check_content_types(&mut self, allowance: Duration) -> Result<CallUsage, InstanceStartError> {
        let export = self.guest.kafka_telemetry_receiver_export_metrics();
        let ask = export.call_accepted_content_types(&mut self.store);
        let (types, usage) = self.meter.run(allowance, allowance, ask).await;
        let types = types.map_err(|halt| InstanceStartError::Failed(self.failure(halt)))?;
        if types.iter().any(|accepted| accepted == CONTENT_TYPE) {
            return Ok(usage);
        }
        Err(InstanceStartError::UnsupportedContentTypes(
            types.into_iter().take(8).map(|name| text::sentence(&name)).collect(),
        ))
    }

    /// Instantiates from the pool, or on demand if the pool is exhausted or absent.
    async fn instantiate(blueprint: &Blueprint) -> Result<(Self, CallUsage), InstanceFailure> {
        if let Some(pooled) = &blueprint.artifact.pooled {
            match Self::instantiate_from(pooled, blueprint).await {
                Err((GuestCallError::Error(error), _)) if error.is::<PoolConcurrencyLimitError>() => {}
                Err((halt, state)) => return Err(start_failure(halt, state, blueprint)),
                Ok(made) => return Ok(made),
            }
        }
        let made = Self::instantiate_from(&blueprint.artifact.on_demand, blueprint).await;
        made.map_err(|(halt, state)| start_failure(halt, state, blueprint))
    }

    async fn instantiate_from(
        pre: &ReceiverPre<HostState>,
        blueprint: &Blueprint,
    ) -> Result<(Self, CallUsage), (GuestCallError, Box<HostState>)> {
        let limits = blueprint.limits.clone();
        let (mut store, meter) = store(pre, blueprint);
        let (guest, usage) = meter.run(limits.start, limits.start, pre.instantiate_async(&mut store)).await;
        match guest {
            Ok(guest) => Ok((Self { store, guest, meter, limits, normalise: blueprint.normalise.clone() }, usage)),
            Err(halt) => Err((halt, Box::new(store.into_data()))),
        }
    }

    /// Exports a batch. If the manifest asks for it, the batch is normalised first, so that every accessor of the
    /// contract shows the same data.
    pub async fn export(mut self, batch: LentBatch) -> ExportResult {
        let (batch, not_normalised) = match &self.normalise {
            None => (batch, 0),
            Some(rules) => batch.normalised(rules).await,
        };
        let result = match self.store.data_mut().table.push(batch) {
            Err(error) => Err((GuestCallError::Error(error.into()), CallUsage::default())),
            Ok(owned) => {
                let (result, usage) = self.call_export(owned.rep()).await;
                // If the guest dropped the host's entry, the resource table is corrupt and the instance must not be
                // called again.
                let deleted = self.store.data_mut().table.delete(owned).map_err(|e| GuestCallError::Error(e.into()));
                result.and_then(|answer| deleted.map(|_| answer)).map(|answer| (answer, usage)).map_err(|h| (h, usage))
            }
        };
        let denied = self.store.data().end_call();
        let handles = self.store.data_mut().handle_count();
        let memory_peak = self.store.data().limiter.peak();
        let sent = self.store.data().take_sent();
        match result {
            Ok((answer, usage)) => {
                let mut said = self.store.data_mut().take_report();
                said.misconfigured =
                    said.misconfigured.map(|reason| with_denied_destination(reason, denied.as_deref()));
                self.store.data_mut().limiter.take_denied();
                ExportResult {
                    outcome: to_outcome(answer, denied.as_deref()),
                    usage,
                    reported: said,
                    memory_peak,
                    sent,
                    not_normalised,
                    denied_destination: denied,
                    handles,
                    instance: Some(self),
                }
            }
            Err((halt, usage)) => {
                let InstanceFailure { fault, message, reported: said } = self.failure(halt);
                let outcome = Outcome::Faulted(fault, with_denied_destination(message, denied.as_deref()));
                ExportResult {
                    outcome,
                    usage,
                    reported: said,
                    memory_peak,
                    sent,
                    not_normalised,
                    denied_destination: denied,
                    handles,
                    instance: None,
                }
            }
        }
    }

    async fn call_export(&mut self, rep: u32) -> (Result<Result<(), ExportError>, GuestCallError>, CallUsage) {
        let export = self.guest.kafka_telemetry_receiver_export_metrics();
        let call = export.call_export_metrics(&mut self.store, Resource::new_borrow(rep));
        self.meter.run(self.limits.cpu, self.limits.deadline, call).await
    }

    /// Calls `stop`.
    pub async fn stop(mut self) -> Result<(), InstanceFailure> {
        let allowance = self.limits.stop;
        let stop = self.guest.kafka_telemetry_receiver_lifecycle().call_stop(&mut self.store);
        let (result, _) = self.meter.run(allowance, allowance, stop).await;
        result.map_err(|halt| self.failure(halt))
    }

    fn failure(&mut self, halt: GuestCallError) -> InstanceFailure {
        let state = self.store.data_mut();
        let denied = state.limiter.take_denied();
        let broken = failure::call_failure(halt, denied, &self.limits, state.take_report());
        // Appended to the receiver's log, since its last lines usually explain the failure.
        state.add_host_line(format!("failed ({}): {broken}", broken.fault.name()));
        broken
    }
}

/// The failure of an instance that could not be created.
fn start_failure(halt: GuestCallError, mut state: Box<HostState>, blueprint: &Blueprint) -> InstanceFailure {
    let denied = state.limiter.take_denied();
    failure::call_failure(halt, denied, &blueprint.limits, state.take_report())
}

/// Creates a Store with every limit set, and the meter that its epoch callback queries.
fn store(pre: &ReceiverPre<HostState>, blueprint: &Blueprint) -> (Store<HostState>, Arc<CallMeter>) {
    let limiter = MemoryLimiter::new(blueprint.limits.memory);
    let log = GuestLog::new(blueprint.log.clone());
    let state = HostState::new(limiter, log, blueprint.egress.for_instance(), blueprint.state.clone());
    let mut store = Store::new(pre.engine(), state);
    store.limiter(|state| &mut state.limiter);
    store.set_hostcall_fuel(MAX_HOST_CALL_BYTES);
    store.set_max_component_handles(MAX_HANDLES);
    let meter = Arc::new(CallMeter::default());
    let asked = meter.clone();
    store.epoch_deadline_callback(move |_| match asked.check() {
        LimitCheck::WithinLimits => Ok(UpdateDeadline::Yield(1)),
        over => Err(over.into()),
    });
    store.set_epoch_deadline(1);
    (store, meter)
}

/// Adds the denied destination to a reason: the guest learns only that a request was denied, not why.
fn with_denied_destination(reason: String, denied: Option<&str>) -> String {
    match denied {
        None => reason,
        Some(denied) if reason.is_empty() => denied.to_owned(),
        Some(denied) => format!("{reason} ({denied})"),
    }
}

fn to_outcome(answer: Result<(), ExportError>, denied: Option<&str>) -> Outcome {
    let reason = |said: String| with_denied_destination(text::reason(&said), denied);
    let millis = |after: Option<u64>| after.map(Duration::from_millis);
    match answer {
        Ok(()) => Outcome::Taken,
        Err(ExportError::TooLarge) => Outcome::TooLarge,
        Err(ExportError::Rejected(said)) => Outcome::Rejected(reason(said)),
        Err(ExportError::Other(said)) => Outcome::Other(reason(said)),
        Err(ExportError::Unavailable(u)) => {
            Outcome::Unavailable { retry_after: millis(u.retry_after_ms), reason: reason(u.reason) }
        }
        Err(ExportError::Partial(p)) => Outcome::Partial {
            rejected: p.rejected.into_iter().map(|r| (r.index, reason(r.reason))).collect(),
            retry: p.retry,
            retry_after: millis(p.retry_after_ms),
        },
    }
}

fn sum(usages: [CallUsage; 3]) -> CallUsage {
    usages.into_iter().fold(CallUsage::default(), |a, b| CallUsage { cpu: a.cpu + b.cpu, wall: a.wall + b.wall })
}

#[cfg(test)]
mod tests;
