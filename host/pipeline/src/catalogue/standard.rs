//! The standard client metrics of KIP-714: its table as data.

use super::MetricDataType;
use super::role::ClientRole;

/// One row of the KIP's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardMetric {
    /// The full name.
    pub name: &'static str,
    /// One sentence, after the KIP's table. Java sends no description, librdkafka its own.
    pub description: &'static str,
    /// The OTLP data type.
    pub data_type: MetricDataType,
    /// `ms`, or none for counts, rates and ratios. Clients do not send the unit.
    pub unit: Option<&'static str>,
    /// Label keys of its points; librdkafka writes `node.id` for `node_id`.
    pub labels: &'static [&'static str],
    /// Bold in the table: every client of this role must send it.
    pub required: bool,
    /// The role that sends it.
    pub role: ClientRole,
}

impl StandardMetric {
    const fn new(role: ClientRole, form: MetricDataType, name: &'static str, description: &'static str) -> Self {
        Self { name, description, data_type: form, unit: None, labels: &[], required: false, role }
    }

    const fn ms(self) -> Self {
        Self { unit: Some("ms"), ..self }
    }

    const fn per_node(self) -> Self {
        Self { labels: &["node_id"], ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

const fn producer_metric(form: MetricDataType, name: &'static str, description: &'static str) -> StandardMetric {
    StandardMetric::new(ClientRole::Producer, form, name, description)
}

const fn consumer_metric(form: MetricDataType, name: &'static str, description: &'static str) -> StandardMetric {
    StandardMetric::new(ClientRole::Consumer, form, name, description)
}

/// All 21, in the KIP's order. There are none for admin clients.
pub const STANDARD_METRICS: [StandardMetric; 21] = [
    producer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.producer.connection.creation.rate",
        "The rate of connections established per second.",
    ),
    producer_metric(
        MetricDataType::Sum,
        "org.apache.kafka.producer.connection.creation.total",
        "The total number of connections established.",
    )
    .required(),
    producer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.producer.node.request.latency.avg",
        "The average request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    producer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.producer.node.request.latency.max",
        "The maximum request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    producer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.producer.produce.throttle.time.avg",
        "The average time in ms that requests were throttled by a broker.",
    )
    .ms(),
    producer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.producer.produce.throttle.time.max",
        "The maximum time in ms that a request was throttled by a broker.",
    )
    .ms(),
    producer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.producer.record.queue.time.avg",
        "The average time in ms that record batches spent in the send buffer.",
    )
    .ms(),
    producer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.producer.record.queue.time.max",
        "The maximum time in ms that a record batch spent in the send buffer.",
    )
    .ms(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.connection.creation.rate",
        "The rate of connections established per second.",
    ),
    consumer_metric(
        MetricDataType::Sum,
        "org.apache.kafka.consumer.connection.creation.total",
        "The total number of connections established.",
    )
    .required(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.node.request.latency.avg",
        "The average request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.node.request.latency.max",
        "The maximum request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.poll.idle.ratio.avg",
        "The average fraction of time that the consumer's poll() was idle, as opposed to waiting for the user code to process records.",
    ),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.coordinator.commit.latency.avg",
        "The average time in ms taken for a commit request.",
    )
    .ms(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.coordinator.commit.latency.max",
        "The maximum time in ms taken for a commit request.",
    )
    .ms(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.coordinator.assigned.partitions",
        "The number of partitions currently assigned to this consumer.",
    ),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.coordinator.rebalance.latency.avg",
        "The average time in ms taken for a group rebalance.",
    )
    .ms(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.coordinator.rebalance.latency.max",
        "The maximum time in ms taken for a group rebalance.",
    )
    .ms(),
    consumer_metric(
        MetricDataType::Sum,
        "org.apache.kafka.consumer.coordinator.rebalance.latency.total",
        "The total time in ms taken for group rebalances.",
    )
    .ms(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.fetch.manager.fetch.latency.avg",
        "The average time in ms taken for a fetch request.",
    )
    .ms(),
    consumer_metric(
        MetricDataType::Gauge,
        "org.apache.kafka.consumer.fetch.manager.fetch.latency.max",
        "The maximum time in ms taken for a fetch request.",
    )
    .ms(),
];
