//! What happens behind the queues: batches, lives of receivers, their requests to the outside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{Histograms, seconds};
use crate::dispatch::Outcome;
use crate::event::Payload;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    plugin: Arc<str>,
}

impl Of {
    fn slot(slot: &Arc<str>) -> Self {
        Self { plugin: slot.clone() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    plugin: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Entered {
    plugin: Arc<str>,
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AtStage {
    plugin: Arc<str>,
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Broke {
    plugin: Arc<str>,
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    plugin: Arc<str>,
    status: String,
}

#[derive(Debug)]
pub(super) struct Receivers {
    starts: Family<Of, Counter>,
    ends: Family<Ended, Counter>,
    pushes: Histograms<Of>,
    points: Family<Of, Counter>,
    bytes: Family<Of, Counter>,
    queue_wait: Histograms<Of>,
    duration: Histograms<Of>,
    cpu: Histograms<Of>,
    phases: Family<Entered, Counter>,
    stages: Histograms<AtStage>,
    crashes: Family<Broke, Counter>,
    replaced: Family<Of, Counter>,
    rejected_points: Family<Of, Counter>,
    misconfigured: Misconfigured,
    requests: Family<Answered, Counter>,
    no_place: Family<Of, Counter>,
    request_bytes: Family<Of, Counter>,
    request_time: Histograms<Of>,
}

impl Receivers {
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
            misconfigured: Misconfigured::default(),
            requests: Family::default(),
            no_place: Family::default(),
            request_bytes: Family::default(),
            request_time: Family::new_with_constructor(seconds),
        };
        receivers.register_batches(registry);
        receivers.register_lives(registry);
        receivers
    }

    fn register_batches(&self, registry: &mut Registry) {
        registry.register("batch_starts", "Batches that a receiver was called with", self.starts.clone());
        registry.register("batch_ends", "Calls that are over, by what came of them", self.ends.clone());
        registry.register("batch_pushes", "Pushes of a batch", self.pushes.clone());
        registry.register("batch_points", "Data points offered, again when offered again", self.points.clone());
        let help = "Size of the pushes offered, again when offered again";
        registry.register_with_unit("batch", help, Unit::Bytes, self.bytes.clone());
        let help = "How long the oldest push of a batch had waited";
        registry.register_with_unit("batch_queue_wait", help, Unit::Seconds, self.queue_wait.clone());
        let help = "Wall time of a call, waiting for the sink included";
        registry.register_with_unit("batch_call", help, Unit::Seconds, self.duration.clone());
        let help = "CPU time that the guest used in a call";
        registry.register_with_unit("batch_cpu", help, Unit::Seconds, self.cpu.clone());
    }

    fn register_lives(&self, registry: &mut Registry) {
        registry.register("plugin_phases", "Phases that generations of a receiver entered", self.phases.clone());
        let help = "How long the stages of swaps took that were passed";
        registry.register_with_unit("plugin_stage", help, Unit::Seconds, self.stages.clone());
        registry.register("plugin_crashes", "Instances that broke", self.crashes.clone());
        let help = "Instances that were replaced since they kept too many handles";
        registry.register("plugin_replaced_instances", help, self.replaced.clone());
        let help = "Points that a sink discarded out of batches that it took";
        registry.register("plugin_rejected_points", help, self.rejected_points.clone());
        let help = "1 while the receiver says that it is set up wrongly";
        registry.register("plugin_misconfigured", help, self.misconfigured.gauge.clone());
        let help = "Outgoing requests that ended, by class of status or by what went wrong";
        registry.register("egress_requests", help, self.requests.clone());
        let help = "Outgoing requests that were refused while as many as may be were under way";
        registry.register("egress_over_limit", help, self.no_place.clone());
        let help = "Size of what outgoing requests sent";
        registry.register_with_unit("egress_sent", help, Unit::Bytes, self.request_bytes.clone());
        let help = "Wall time of outgoing requests";
        registry.register_with_unit("egress_request", help, Unit::Seconds, self.request_time.clone());
    }

    pub(super) fn record(&self, payload: &Payload) {
        match payload {
            Payload::BatchStart { slot, generation, .. } => {
                self.misconfigured.seen(slot, *generation);
                self.starts.get_or_create(&Of::slot(slot)).inc();
            }
            Payload::BatchEnd { .. } => self.record_end(payload),
            Payload::PluginStage { slot, stage, took } => {
                let of = AtStage { plugin: slot.clone(), stage };
                self.stages.get_or_create(&of).observe(took.as_secs_f64());
            }
            Payload::PluginPhase { slot, generation, phase, .. } => {
                // A generation that is only being loaded says nothing about the one that serves.
                if *phase == "serving" {
                    self.misconfigured.seen(slot, *generation);
                }
                self.phases.get_or_create(&Entered { plugin: slot.clone(), phase }).inc();
            }
            Payload::PluginCrash { slot, cause, .. } => {
                self.crashes.get_or_create(&Broke { plugin: slot.clone(), cause }).inc();
            }
            Payload::PluginReplaced { slot, .. } => _ = self.replaced.get_or_create(&Of::slot(slot)).inc(),
            Payload::PluginMisconfigured { slot, .. } => self.misconfigured.said(slot),
            Payload::PluginRejectedPoints { slot, points, .. } => {
                self.rejected_points.get_or_create(&Of::slot(slot)).inc_by(*points);
            }
            Payload::EgressRequest { slot, status, size, duration, .. } => {
                let answered = Answered { plugin: slot.clone(), status: class(status) };
                self.requests.get_or_create(&answered).inc();
                self.request_bytes.get_or_create(&Of::slot(slot)).inc_by(*size as u64);
                self.request_time.get_or_create(&Of::slot(slot)).observe(duration.as_secs_f64());
            }
            Payload::EgressBusy { slot, .. } => _ = self.no_place.get_or_create(&Of::slot(slot)).inc(),
            _ => {}
        }
    }

    fn record_end(&self, payload: &Payload) {
        let Payload::BatchEnd { slot, pushes, points, size, queue_wait, duration, cpu, outcome, .. } = payload else {
            return;
        };
        let of = Of::slot(slot);
        self.ends.get_or_create(&Ended { plugin: slot.clone(), outcome }).inc();
        self.pushes.get_or_create(&of).observe(*pushes as f64);
        self.points.get_or_create(&of).inc_by(*points);
        self.bytes.get_or_create(&of).inc_by(*size as u64);
        self.queue_wait.get_or_create(&of).observe(queue_wait.as_secs_f64());
        self.duration.get_or_create(&of).observe(duration.as_secs_f64());
        self.cpu.get_or_create(&of).observe(cpu.as_secs_f64());
        if *outcome == Outcome::Taken.name() {
            self.misconfigured.works(slot);
        }
    }
}

/// Pushes of a batch.
fn counts() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 11))
}

/// The class of a status code; what is not one is already a word of the egress guard's closed list.
fn class(status: &str) -> String {
    match status.as_bytes() {
        [class @ b'1'..=b'9', _, _] => format!("{}xx", char::from(*class)),
        _ => status.to_owned(),
    }
}

/// A receiver says when it is set up wrongly, and nobody says when it no longer is: a batch that was taken does, and
/// so does a new generation, until it complains itself.
#[derive(Debug, Default)]
struct Misconfigured {
    gauge: Family<Of, Gauge>,
    // The newest generation of each slot.
    newest: Mutex<BTreeMap<Arc<str>, u64>>,
}

impl Misconfigured {
    fn said(&self, slot: &Arc<str>) {
        self.gauge.get_or_create(&Of::slot(slot)).set(1);
    }

    fn works(&self, slot: &Arc<str>) {
        self.gauge.get_or_create(&Of::slot(slot)).set(0);
    }

    fn seen(&self, slot: &Arc<str>, generation: u64) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(slot).is_none_or(|known| *known < generation) {
            newest.insert(slot.clone(), generation);
            self.works(slot);
        }
    }
}
