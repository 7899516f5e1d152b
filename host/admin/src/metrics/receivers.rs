//! Metrics of what happens behind the queues: batches, lifecycles of receivers, their outgoing requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{Histograms, seconds};
use barnabas_pipeline::dispatch::Outcome;
use barnabas_pipeline::event::EventData;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: Arc<str>,
}

impl PluginLabels {
    fn new(slot: &Arc<str>) -> Self {
        Self { plugin: slot.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    plugin: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    plugin: Arc<str>,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabels {
    plugin: Arc<str>,
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CrashLabels {
    plugin: Arc<str>,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    plugin: Arc<str>,
    status: String,
}

#[derive(Debug)]
pub(super) struct ReceiverMetrics {
    starts: Family<PluginLabels, Counter>,
    ends: Family<OutcomeLabels, Counter>,
    pushes: Histograms<PluginLabels>,
    points: Family<PluginLabels, Counter>,
    bytes: Family<PluginLabels, Counter>,
    queue_wait: Histograms<PluginLabels>,
    duration: Histograms<PluginLabels>,
    cpu: Histograms<PluginLabels>,
    phases: Family<PhaseLabels, Counter>,
    stages: Histograms<StageLabels>,
    crashes: Family<CrashLabels, Counter>,
    replaced: Family<PluginLabels, Counter>,
    rejected_points: Family<PluginLabels, Counter>,
    misconfigured: MisconfiguredGauge,
    requests: Family<StatusLabels, Counter>,
    over_limit: Family<PluginLabels, Counter>,
    request_bytes: Family<PluginLabels, Counter>,
    request_time: Histograms<PluginLabels>,
}

impl ReceiverMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let receivers = Self {
            starts: Family::default(),
            ends: Family::default(),
            pushes: Family::new_with_constructor(counts),
            points: Family::default(),
            bytes: Family::default(),
            queue_wait: Family::new_with_constructor(seconds),
            duration: Family::new_with_constructor(seconds),
            cpu: Family::new_with_constructor(seconds),
            phases: Family::default(),
            stages: Family::new_with_constructor(seconds),
            crashes: Family::default(),
            replaced: Family::default(),
            rejected_points: Family::default(),
            misconfigured: MisconfiguredGauge::default(),
            requests: Family::default(),
            over_limit: Family::default(),
            request_bytes: Family::default(),
            request_time: Family::new_with_constructor(seconds),
        };
        receivers.register_batches(registry);
        receivers.register_lives(registry);
        receivers
    }

    fn register_batches(&self, registry: &mut Registry) {
        registry.register("batch_starts", "Batches that a receiver was called with", self.starts.clone());
        registry.register("batch_ends", "Completed calls, by outcome", self.ends.clone());
        registry.register("batch_pushes", "Pushes per batch", self.pushes.clone());
        registry.register("batch_points", "Data points offered, counted again on retries", self.points.clone());
        let help = "Size of the pushes offered, counted again on retries";
        registry.register_with_unit("batch", help, Unit::Bytes, self.bytes.clone());
        let help = "Queueing time of the oldest push of a batch";
        registry.register_with_unit("batch_queue_wait", help, Unit::Seconds, self.queue_wait.clone());
        let help = "Wall time of a call, waiting for the sink included";
        registry.register_with_unit("batch_call", help, Unit::Seconds, self.duration.clone());
        let help = "CPU time that the guest used in a call";
        registry.register_with_unit("batch_cpu", help, Unit::Seconds, self.cpu.clone());
    }

    fn register_lives(&self, registry: &mut Registry) {
        registry.register("plugin_phases", "Phases that generations of a receiver entered", self.phases.clone());
        let help = "Duration of the completed stages of swaps";
        registry.register_with_unit("plugin_stage", help, Unit::Seconds, self.stages.clone());
        registry.register("plugin_crashes", "Instances that failed", self.crashes.clone());
        let help = "Instances that were replaced because they held too many handles";
        registry.register("plugin_replaced_instances", help, self.replaced.clone());
        let help = "Points that a sink discarded from batches that it accepted";
        registry.register("plugin_rejected_points", help, self.rejected_points.clone());
        let help = "1 while the receiver reports that it is misconfigured";
        registry.register("plugin_misconfigured", help, self.misconfigured.gauge.clone());
        let help = "Completed outgoing requests, by class of status or by error";
        registry.register("egress_requests", help, self.requests.clone());
        let help = "Outgoing requests that were refused because the limit of concurrent requests was reached";
        registry.register("egress_over_limit", help, self.over_limit.clone());
        let help = "Size of the bodies of outgoing requests";
        registry.register_with_unit("egress_sent", help, Unit::Bytes, self.request_bytes.clone());
        let help = "Wall time of outgoing requests";
        registry.register_with_unit("egress_request", help, Unit::Seconds, self.request_time.clone());
    }

    pub(super) fn record(&self, data: &EventData) {
        match data {
            EventData::BatchStart { slot, generation, .. } => {
                self.misconfigured.generation_started(slot, *generation);
                self.starts.get_or_create(&PluginLabels::new(slot)).inc();
            }
            EventData::BatchEnd { .. } => self.record_end(data),
            EventData::PluginStage { slot, stage, took } => {
                let labels = StageLabels { plugin: slot.clone(), stage };
                self.stages.get_or_create(&labels).observe(took.as_secs_f64());
            }
            EventData::PluginPhase { slot, generation, phase, .. } => {
                // A generation that is only being loaded says nothing about the serving one.
                if *phase == "serving" {
                    self.misconfigured.generation_started(slot, *generation);
                }
                self.phases.get_or_create(&PhaseLabels { plugin: slot.clone(), phase }).inc();
            }
            EventData::PluginCrash { slot, cause, .. } => {
                self.crashes.get_or_create(&CrashLabels { plugin: slot.clone(), cause }).inc();
            }
            EventData::PluginReplaced { slot, .. } => _ = self.replaced.get_or_create(&PluginLabels::new(slot)).inc(),
            EventData::PluginMisconfigured { slot, .. } => self.misconfigured.set(slot),
            EventData::PluginRejectedPoints { slot, points, .. } => {
                self.rejected_points.get_or_create(&PluginLabels::new(slot)).inc_by(*points);
            }
            EventData::EgressRequest { slot, status, size, duration, .. } => {
                let labels = StatusLabels { plugin: slot.clone(), status: class(status) };
                self.requests.get_or_create(&labels).inc();
                self.request_bytes.get_or_create(&PluginLabels::new(slot)).inc_by(*size as u64);
                self.request_time.get_or_create(&PluginLabels::new(slot)).observe(duration.as_secs_f64());
            }
            EventData::EgressBusy { slot, .. } => _ = self.over_limit.get_or_create(&PluginLabels::new(slot)).inc(),
            _ => {}
        }
    }

    fn record_end(&self, data: &EventData) {
        let EventData::BatchEnd { slot, pushes, points, size, queue_wait, duration, cpu, outcome, .. } = data else {
            return;
        };
        let labels = PluginLabels::new(slot);
        self.ends.get_or_create(&OutcomeLabels { plugin: slot.clone(), outcome }).inc();
        self.pushes.get_or_create(&labels).observe(*pushes as f64);
        self.points.get_or_create(&labels).inc_by(*points);
        self.bytes.get_or_create(&labels).inc_by(*size as u64);
        self.queue_wait.get_or_create(&labels).observe(queue_wait.as_secs_f64());
        self.duration.get_or_create(&labels).observe(duration.as_secs_f64());
        self.cpu.get_or_create(&labels).observe(cpu.as_secs_f64());
        if *outcome == Outcome::Taken.name() {
            self.misconfigured.clear(slot);
        }
    }
}

/// Pushes per batch.
fn counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

/// The class of a status code; anything else is already a word of the egress guard's closed list.
fn class(status: &str) -> String {
    match status.as_bytes() {
        [class @ b'1'..=b'9', _, _] => format!("{}xx", char::from(*class)),
        _ => status.to_owned(),
    }
}

/// A receiver reports that it is misconfigured, but not when that ends: a batch that is accepted ends it, and so does a
/// new generation, until that reports it again.
#[derive(Debug, Default)]
struct MisconfiguredGauge {
    gauge: Family<PluginLabels, Gauge>,
    // The newest generation of each slot.
    newest: Mutex<BTreeMap<Arc<str>, u64>>,
}

impl MisconfiguredGauge {
    fn set(&self, slot: &Arc<str>) {
        self.gauge.get_or_create(&PluginLabels::new(slot)).set(1);
    }

    fn clear(&self, slot: &Arc<str>) {
        self.gauge.get_or_create(&PluginLabels::new(slot)).set(0);
    }

    fn generation_started(&self, slot: &Arc<str>, generation: u64) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(slot).is_none_or(|known| *known < generation) {
            newest.insert(slot.clone(), generation);
            self.clear(slot);
        }
    }
}
