//! Metrics for operators, derived from events alone.
//!
//! In: every event, on the thread that emits it. Out: one page of text for a scrape. Bounded: every label value is the
//! name of a receiver or listener that the operator configured, or a word of a closed list. Clients, addresses and free
//! text never become labels, unless the operator enables series of single clients, with a limit on their number. Never:
//! waits for anything but its own short locks, or queries another module; what no event carries is not in the metrics.

mod age;
mod broker;
mod clients;
mod ingress;
mod ledger;
mod receivers;

use std::sync::Arc;

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use age::PushAge;
use barnabas_pipeline::event::{Event, Events, ListenerGuard, Topic};
use broker::KafkaBrokerMetrics;
use clients::PerClientMetrics;
use ingress::IngressMetrics;
use ledger::Ledgers;
use receivers::ReceiverMetrics;

/// All metrics, and the page that shows them.
#[derive(Debug)]
pub struct HostMetrics {
    registry: Registry,
    age: Arc<PushAge>,
    broker: KafkaBrokerMetrics,
    clients: Arc<PerClientMetrics>,
    ingress: IngressMetrics,
    receivers: ReceiverMetrics,
    // Shared with the registry, which reads it at each scrape.
    ledgers: Arc<Ledgers>,
}

impl HostMetrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        Self::with_clients(0)
    }

    /// As [`HostMetrics::new`], with series of at most `most` single client instances.
    pub fn with_clients(most: usize) -> Self {
        let mut page = Registry::default();
        let kafkas = page.sub_registry_with_prefix("kafka_server_client_metrics");
        let broker = KafkaBrokerMetrics::new(kafkas);
        let clients = Arc::new(PerClientMetrics::new(most));
        kafkas.register_collector(Box::new(clients.clone()));
        let registry = page.sub_registry_with_prefix("barnabas");
        let build = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "Always 1, with the version of this host as a label", build);
        let ingress = IngressMetrics::new(registry);
        let receivers = ReceiverMetrics::new(registry);
        let ledgers = Arc::new(Ledgers::default());
        registry.register_collector(Box::new(ledgers.clone()));
        let age = Arc::new(PushAge::new());
        registry.register_collector(Box::new(age.clone()));
        Self { registry: page, age, broker, clients, ingress, receivers, ledgers }
    }

    /// Records events until the returned guard is dropped.
    pub fn listen(self: &Arc<Self>, events: &Events) -> ListenerGuard {
        let metrics = self.clone();
        events.listen(Topic::ALL, move |event| metrics.record(event))
    }

    fn record(&self, event: &Event) {
        self.age.record(event);
        self.broker.record(event);
        self.clients.record(&event.data);
        self.ingress.record(&event.data);
        self.receivers.record(&event.data);
        self.ledgers.record(&event.data);
    }

    /// The page in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("writing to a String does not fail");
        page
    }
}

impl Default for HostMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A family of histograms.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// From 10 µs, which a small push takes, to nearly three minutes, which a batch may wait for an unavailable sink.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(1e-5, 4.0, 13))
}

#[cfg(test)]
mod tests;
