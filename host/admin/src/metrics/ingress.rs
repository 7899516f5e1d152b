//! Metrics of what is received. At rest, summed over all ingresses:
//! `push_received = push_refused + push_empty + push_unwanted + push_accepted`.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Histograms, seconds};
use barnabas_pipeline::admission::Evictions;
use barnabas_pipeline::event::EventData;
use barnabas_pipeline::push::{DepartureReason, Ingress};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: Arc<str>,
}

/// Without the version, because a client may send any.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    api: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IngressLabels {
    ingress: &'static str,
}

impl IngressLabels {
    fn new(ingress: Ingress) -> Self {
        Self { ingress: ingress.as_str() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    ingress: &'static str,
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SoftwareLabels {
    software: &'static str,
}

#[derive(Debug)]
pub(super) struct IngressMetrics {
    connections: Family<ListenerLabels, Gauge>,
    connected: Family<ListenerLabels, Counter>,
    requests: Family<ApiLabels, Counter>,
    request_bytes: Family<ApiLabels, Counter>,
    request_time: Histograms<ApiLabels>,
    subscriptions: Counter,
    subscriptions_refused: Family<RefusalLabels, Counter>,
    received: Family<IngressLabels, Counter>,
    wire_bytes: Family<IngressLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
    empty: Counter,
    unwanted: Counter,
    accepted: Family<IngressLabels, Counter>,
    points: Family<IngressLabels, Counter>,
    decompressed_bytes: Family<IngressLabels, Counter>,
    repaired: Counter,
    intake_time: Histograms<IngressLabels>,
    gone: Family<ReasonLabels, Counter>,
    evicted: Family<ReasonLabels, Counter>,
    too_large: Family<SoftwareLabels, Counter>,
}

impl IngressMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            connections: Family::default(),
            connected: Family::default(),
            requests: Family::default(),
            request_bytes: Family::default(),
            request_time: Family::new_with_constructor(seconds),
            subscriptions: Counter::default(),
            subscriptions_refused: Family::default(),
            received: Family::default(),
            wire_bytes: Family::default(),
            refused: Family::default(),
            empty: Counter::default(),
            unwanted: Counter::default(),
            accepted: Family::default(),
            points: Family::default(),
            decompressed_bytes: Family::default(),
            repaired: Counter::default(),
            intake_time: Family::new_with_constructor(seconds),
            gone: Family::default(),
            evicted: Family::default(),
            too_large: Family::default(),
        };
        metrics.register_connections(registry);
        metrics.register_pushes(registry);
        metrics.create_series();
        metrics
    }

    fn register_connections(&self, registry: &mut Registry) {
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register("connections_opened", "Connections accepted", self.connected.clone());
        registry.register("requests", "Requests answered", self.requests.clone());
        let help = "Size of the requests answered";
        registry.register_with_unit("request", help, Unit::Bytes, self.request_bytes.clone());
        let help = "From the last byte of a request to the last byte of its response";
        registry.register_with_unit("request", help, Unit::Seconds, self.request_time.clone());
        registry.register(
            "subscription_answered",
            "GetTelemetrySubscriptions requests answered",
            self.subscriptions.clone(),
        );
        let help = "GetTelemetrySubscriptions requests answered with an error";
        registry.register("subscription_refused", help, self.subscriptions_refused.clone());
        registry.register("client_gone", "Client instances that are gone, by reason", self.gone.clone());
        let help = "Client instances evicted from the full table, by the reason for the choice";
        registry.register("client_evicted", help, self.evicted.clone());
    }

    fn register_pushes(&self, registry: &mut Registry) {
        let help = "Pushes received: refused, empty, unwanted or accepted";
        registry.register("push_received", help, self.received.clone());
        let help = "Size of the received pushes on the wire";
        registry.register_with_unit("push_wire", help, Unit::Bytes, self.wire_bytes.clone());
        registry.register("push_refused", "Pushes answered with an error", self.refused.clone());
        let help = "Pushes refused as too large, by client software; `other` is any that is not well known";
        registry.register("push_too_large", help, self.too_large.clone());
        registry.register("push_empty", "Pushes without metrics", self.empty.clone());
        registry.register("push_unwanted", "Pushes that no receiver wants", self.unwanted.clone());
        let help = "Pushes that are in the ledger of at least one receiver";
        registry.register("push_accepted", help, self.accepted.clone());
        registry.register("push_points", "Data points of accepted pushes", self.points.clone());
        let help = "Size of accepted pushes, decompressed";
        registry.register_with_unit("push_decompressed", help, Unit::Bytes, self.decompressed_bytes.clone());
        let help = "Strings of accepted pushes that were not UTF-8 and were repaired";
        registry.register("push_repaired_strings", help, self.repaired.clone());
        let help = "From the last byte of a push to its place in the queues";
        registry.register_with_unit("push_intake", help, Unit::Seconds, self.intake_time.clone());
    }

    /// A rate over a counter that appears with its first event misses that event.
    fn create_series(&self) {
        for ingress in [Ingress::Kafka, Ingress::OtlpHttp] {
            let labels = IngressLabels::new(ingress);
            for family in [&self.received, &self.wire_bytes, &self.accepted, &self.points, &self.decompressed_bytes] {
                drop(family.get_or_create(&labels));
            }
        }
        for reason in [DepartureReason::Terminated, DepartureReason::Disconnected, DepartureReason::Expired] {
            drop(self.gone.get_or_create(&ReasonLabels { reason: reason_label(reason) }));
        }
    }

    pub(super) fn record(&self, data: &EventData) {
        match data {
            EventData::ListenerConnect { listener, .. } => {
                let labels = ListenerLabels { listener: listener.clone() };
                self.connected.get_or_create(&labels).inc();
                self.connections.get_or_create(&labels).inc();
            }
            EventData::ListenerDisconnect { listener, .. } => {
                self.connections.get_or_create(&ListenerLabels { listener: listener.clone() }).dec();
            }
            EventData::ListenerRequest { api, size, duration, .. } => {
                let labels = ApiLabels { api };
                self.requests.get_or_create(&labels).inc();
                self.request_bytes.get_or_create(&labels).inc_by(*size as u64);
                self.request_time.get_or_create(&labels).observe(duration.as_secs_f64());
            }
            EventData::SubscriptionAnswered { .. } => {
                self.subscriptions.inc();
            }
            EventData::ClientGone { reason, .. } => {
                self.gone.get_or_create(&ReasonLabels { reason: reason_label(*reason) }).inc();
            }
            EventData::ClientsCounted { evicted, .. } => self.record_evicted(evicted),
            _ => self.record_push(data),
        }
    }

    fn record_evicted(&self, evicted: &Evictions) {
        let Evictions { silent, crowding, shrunk } = *evicted;
        for (reason, total) in [("silent", silent), ("crowding", crowding), ("shrunk", shrunk)] {
            let counter = self.evicted.get_or_create(&ReasonLabels { reason });
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    fn record_push(&self, data: &EventData) {
        match data {
            EventData::PushReceived { ingress, wire } => {
                self.received.get_or_create(&IngressLabels::new(*ingress)).inc();
                self.wire_bytes.get_or_create(&IngressLabels::new(*ingress)).inc_by(*wire as u64);
            }
            EventData::PushRefused { ingress, client, code, subscribing, .. } => {
                let family = if *subscribing { &self.subscriptions_refused } else { &self.refused };
                family.get_or_create(&RefusalLabels { ingress: ingress.as_str(), code }).inc();
                if *code == "too_large" {
                    let software = software(client.software_name.as_deref());
                    self.too_large.get_or_create(&SoftwareLabels { software }).inc();
                }
            }
            EventData::PushEmpty => {
                self.empty.inc();
            }
            EventData::PushUnwanted => {
                self.unwanted.inc();
            }
            EventData::PushAccepted { ingress, points, size, repaired, took, .. } => {
                let labels = IngressLabels::new(*ingress);
                self.accepted.get_or_create(&labels).inc();
                self.points.get_or_create(&labels).inc_by(u64::from(*points));
                self.decompressed_bytes.get_or_create(&labels).inc_by(*size as u64);
                self.repaired.inc_by(u64::from(*repaired));
                self.intake_time.get_or_create(&labels).observe(took.as_secs_f64());
            }
            _ => {}
        }
    }
}

/// A closed list, because clients choose their name.
fn software(name: Option<&str>) -> &'static str {
    const KNOWN: [&str; 6] = [
        "apache-kafka-java",
        "librdkafka",
        "confluent-kafka-python",
        "confluent-kafka-go",
        "confluent-kafka-dotnet",
        "kgo",
    ];
    KNOWN.into_iter().find(|known| name == Some(known)).unwrap_or("other")
}

fn reason_label(reason: DepartureReason) -> &'static str {
    match reason {
        DepartureReason::Terminated => "terminated",
        DepartureReason::Disconnected => "disconnected",
        DepartureReason::Expired => "expired",
    }
}
