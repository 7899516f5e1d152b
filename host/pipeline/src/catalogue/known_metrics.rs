//! The metric names that are known.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::nonstandard::{JAVA_ANY, JAVA_CLIENTS, JAVA_COMMON, JAVA_CONSUMER, JAVA_PRODUCER, LIBRDKAFKA, expand};
use super::role::ClientRole;
use super::standard::STANDARD_METRICS;

/// The OTLP data type of a metric. Kafka clients send no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricDataType {
    /// A current value.
    Gauge,
    /// A monotonic sum.
    Sum,
}

/// Where a name is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricOrigin {
    /// One of the six that every producer or every consumer must send (KIP-714).
    Required,
    /// Another one of the standard's 21.
    Standard,
    /// Sent by Java if more than the standard is requested; librdkafka may send it as well.
    Java,
    /// Sent only by librdkafka.
    Librdkafka,
    /// Of Kafka Streams (KIP-1076).
    Streams,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownMetric {
    /// Where it is defined.
    pub origin: MetricOrigin,
    /// Its data type; unknown for metrics of Kafka Streams.
    pub data_type: Option<MetricDataType>,
}

static KNOWN: LazyLock<HashMap<String, KnownMetric>> = LazyLock::new(table);

/// What is known of a full name. `None` for metrics that an application registered with its client (KIP-1076), and for
/// those of a later client version.
pub fn lookup(name: &str) -> Option<KnownMetric> {
    let streams = || {
        name.starts_with(ClientRole::Streams.prefix())
            .then_some(KnownMetric { origin: MetricOrigin::Streams, data_type: None })
    };
    KNOWN.get(name).copied().or_else(streams)
}

/// Every name that is known in full, in no particular order.
pub(super) fn known_names() -> impl Iterator<Item = &'static str> {
    KNOWN.keys().map(String::as_str)
}

fn table() -> HashMap<String, KnownMetric> {
    let standard = STANDARD_METRICS.iter().map(|metric| {
        let kind = if metric.required { MetricOrigin::Required } else { MetricOrigin::Standard };
        (metric.name.to_owned(), KnownMetric { origin: kind, data_type: Some(metric.data_type) })
    });
    let mut table: HashMap<String, KnownMetric> = standard.collect();
    let all = JAVA_CLIENTS.iter().map(|client| (*client, JAVA_COMMON));
    let java = all.chain([("", JAVA_ANY), ("producer.", JAVA_PRODUCER), ("consumer.", JAVA_CONSUMER)]);
    let lines = java.map(|(under, lines)| (MetricOrigin::Java, under, lines)).chain([(
        MetricOrigin::Librdkafka,
        "",
        LIBRDKAFKA,
    )]);
    for (kind, under, lines) in lines {
        for name in lines.iter().flat_map(|line| expand(under, line)) {
            let form = Some(if name.ends_with(".total") { MetricDataType::Sum } else { MetricDataType::Gauge });
            // The first definition counts: Java sends most of the standard as well.
            table.entry(name).or_insert(KnownMetric { origin: kind, data_type: form });
        }
    }
    table
}
