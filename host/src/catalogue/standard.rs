//! The standard client metrics of KIP-714: its table as data.

use super::Form;
use super::role::Role;

/// One row of the KIP's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// In full.
    pub name: &'static str,
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
    const fn new(role: Role, form: Form, name: &'static str) -> Self {
        Self { name, form, unit: None, labels: &[], required: false, role }
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

const fn produced(form: Form, name: &'static str) -> Metric {
    Metric::new(Role::Producer, form, name)
}

const fn consumed(form: Form, name: &'static str) -> Metric {
    Metric::new(Role::Consumer, form, name)
}

/// All 21, in the KIP's order. There are none for admin clients.
pub const METRICS: [Metric; 21] = [
    produced(Form::Gauge, "org.apache.kafka.producer.connection.creation.rate"),
    produced(Form::Sum, "org.apache.kafka.producer.connection.creation.total").required(),
    produced(Form::Gauge, "org.apache.kafka.producer.node.request.latency.avg").ms().per_node().required(),
    produced(Form::Gauge, "org.apache.kafka.producer.node.request.latency.max").ms().per_node().required(),
    produced(Form::Gauge, "org.apache.kafka.producer.produce.throttle.time.avg").ms(),
    produced(Form::Gauge, "org.apache.kafka.producer.produce.throttle.time.max").ms(),
    produced(Form::Gauge, "org.apache.kafka.producer.record.queue.time.avg").ms(),
    produced(Form::Gauge, "org.apache.kafka.producer.record.queue.time.max").ms(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.connection.creation.rate"),
    consumed(Form::Sum, "org.apache.kafka.consumer.connection.creation.total").required(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.node.request.latency.avg").ms().per_node().required(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.node.request.latency.max").ms().per_node().required(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.poll.idle.ratio.avg"),
    consumed(Form::Gauge, "org.apache.kafka.consumer.coordinator.commit.latency.avg").ms(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.coordinator.commit.latency.max").ms(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.coordinator.assigned.partitions"),
    consumed(Form::Gauge, "org.apache.kafka.consumer.coordinator.rebalance.latency.avg").ms(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.coordinator.rebalance.latency.max").ms(),
    consumed(Form::Sum, "org.apache.kafka.consumer.coordinator.rebalance.latency.total").ms(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.fetch.manager.fetch.latency.avg").ms(),
    consumed(Form::Gauge, "org.apache.kafka.consumer.fetch.manager.fetch.latency.max").ms(),
];
