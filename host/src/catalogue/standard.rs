//! The standard client metrics of KIP-714: its table as data.

use super::Form;
use super::role::Role;

/// One row of the KIP's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// In full.
    pub name: &'static str,
    /// One sentence, after the KIP's table. Java sends none, librdkafka its own.
    pub description: &'static str,
    /// As what OTLP has it.
    pub form: Form,
    /// `ms`, or none for counts, rates and ratios. Clients leave the unit out of what they send.
    pub unit: Option<&'static str>,
    /// Keys of the labels that its points have; librdkafka writes `node.id` for `node_id`.
    pub labels: &'static [&'static str],
    /// Bold in the table: every client of this role shall send it.
    pub required: bool,
    /// Whose.
    pub role: Role,
}

impl Metric {
    const fn new(role: Role, form: Form, name: &'static str, description: &'static str) -> Self {
        Self { name, description, form, unit: None, labels: &[], required: false, role }
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

const fn produced(form: Form, name: &'static str, description: &'static str) -> Metric {
    Metric::new(Role::Producer, form, name, description)
}

const fn consumed(form: Form, name: &'static str, description: &'static str) -> Metric {
    Metric::new(Role::Consumer, form, name, description)
}

/// All 21, in the KIP's order. There are none for admin clients.
pub const METRICS: [Metric; 21] = [
    produced(
        Form::Gauge,
        "org.apache.kafka.producer.connection.creation.rate",
        "The rate of connections established per second.",
    ),
    produced(
        Form::Sum,
        "org.apache.kafka.producer.connection.creation.total",
        "The total number of connections established.",
    )
    .required(),
    produced(
        Form::Gauge,
        "org.apache.kafka.producer.node.request.latency.avg",
        "The average request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    produced(
        Form::Gauge,
        "org.apache.kafka.producer.node.request.latency.max",
        "The maximum request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    produced(
        Form::Gauge,
        "org.apache.kafka.producer.produce.throttle.time.avg",
        "The average time in ms that requests were throttled by a broker.",
    )
    .ms(),
    produced(
        Form::Gauge,
        "org.apache.kafka.producer.produce.throttle.time.max",
        "The maximum time in ms that a request was throttled by a broker.",
    )
    .ms(),
    produced(
        Form::Gauge,
        "org.apache.kafka.producer.record.queue.time.avg",
        "The average time in ms that record batches spent in the send buffer.",
    )
    .ms(),
    produced(
        Form::Gauge,
        "org.apache.kafka.producer.record.queue.time.max",
        "The maximum time in ms that a record batch spent in the send buffer.",
    )
    .ms(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.connection.creation.rate",
        "The rate of connections established per second.",
    ),
    consumed(
        Form::Sum,
        "org.apache.kafka.consumer.connection.creation.total",
        "The total number of connections established.",
    )
    .required(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.node.request.latency.avg",
        "The average request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.node.request.latency.max",
        "The maximum request latency in ms for a node.",
    )
    .ms()
    .per_node()
    .required(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.poll.idle.ratio.avg",
        "The average fraction of time that the consumer's poll() was idle, as opposed to waiting for the user code to process records.",
    ),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.coordinator.commit.latency.avg",
        "The average time in ms taken for a commit request.",
    )
    .ms(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.coordinator.commit.latency.max",
        "The maximum time in ms taken for a commit request.",
    )
    .ms(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.coordinator.assigned.partitions",
        "The number of partitions currently assigned to this consumer.",
    ),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.coordinator.rebalance.latency.avg",
        "The average time in ms taken for a group rebalance.",
    )
    .ms(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.coordinator.rebalance.latency.max",
        "The maximum time in ms taken for a group rebalance.",
    )
    .ms(),
    consumed(
        Form::Sum,
        "org.apache.kafka.consumer.coordinator.rebalance.latency.total",
        "The total time in ms taken for group rebalances.",
    )
    .ms(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.fetch.manager.fetch.latency.avg",
        "The average time in ms taken for a fetch request.",
    )
    .ms(),
    consumed(
        Form::Gauge,
        "org.apache.kafka.consumer.fetch.manager.fetch.latency.max",
        "The maximum time in ms taken for a fetch request.",
    )
    .ms(),
];
