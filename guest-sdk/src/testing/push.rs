//! The pushes of tests.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use barnabas_otlp::message::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, MetricsData, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use prost::Message;

use crate::Temporality;

/// A push for a test: a payload, with the facts that matter for the test.
///
/// ```
/// use barnabas_sdk::{Temporality, testing::TestPush};
///
/// let push = TestPush::sum("org.apache.kafka.producer.connection.creation.total", 7.0, Temporality::Delta)
///     .client_id("orders")
///     .software("apache-kafka-java", "4.2.0")
///     .attempt(2);
/// # let host = barnabas_sdk::testing::batch([push]);
/// # let push = host.lend().pushes().next().unwrap();
/// # assert_eq!((push.attempt(), push.temporality()), (2, Temporality::Delta));
/// ```
#[derive(Clone, Debug, Default)]
pub struct TestPush {
    pub(super) bytes: Vec<u8>,
    pub(super) client_instance_id: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) software_name: Option<String>,
    pub(super) software_version: Option<String>,
    pub(super) source_address: Option<String>,
    pub(super) source_port: Option<u16>,
    pub(super) principal: Option<String>,
    pub(super) listener: Option<String>,
    pub(super) id: u128,
    /// 0 means the first attempt.
    pub(super) attempt: u32,
    pub(super) ingress: Option<String>,
    pub(super) terminating: bool,
    pub(super) push_interval: Option<Duration>,
    pub(super) received_at: Option<SystemTime>,
    pub(super) node_id: Option<i32>,
    pub(super) trace_parent: Option<String>,
}

impl TestPush {
    /// A push with this payload (a serialized `MetricsData`), from an unknown client.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// A push with these metrics.
    pub fn from_metrics(metrics: &MetricsData) -> Self {
        Self::new(metrics.encode_to_vec())
    }

    /// A push of one gauge with one data point.
    pub fn gauge(name: &str, value: f64) -> Self {
        Self::metric(name, metric::Data::Gauge(Gauge { data_points: vec![number(value)] }))
    }

    /// A push of one monotonic sum with one data point.
    ///
    /// # Panics
    ///
    /// It panics if the temporality is neither cumulative nor delta.
    pub fn sum(name: &str, value: f64, temporality: Temporality) -> Self {
        let (data_points, aggregation_temporality) = (vec![number(value)], aggregation(temporality));
        Self::metric(name, metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }))
    }

    /// A push of one histogram with one data point. `counts` has the number of values in each bucket, so it has one
    /// more element than `bounds`.
    ///
    /// # Panics
    ///
    /// It panics if the temporality is neither cumulative nor delta.
    pub fn histogram(name: &str, bounds: &[f64], counts: &[u64], temporality: Temporality) -> Self {
        let point = HistogramDataPoint {
            count: counts.iter().sum(),
            bucket_counts: counts.to_vec(),
            explicit_bounds: bounds.to_vec(),
            ..Default::default()
        };
        let (data_points, aggregation_temporality) = (vec![point], aggregation(temporality));
        Self::metric(name, metric::Data::Histogram(Histogram { data_points, aggregation_temporality }))
    }

    fn metric(name: &str, data: metric::Data) -> Self {
        let metric = Metric { name: name.to_owned(), data: Some(data), ..Default::default() };
        let scope = ScopeMetrics { metrics: vec![metric], ..Default::default() };
        let resource = ResourceMetrics { scope_metrics: vec![scope], ..Default::default() };
        Self::from_metrics(&MetricsData { resource_metrics: vec![resource] })
    }

    /// Sets the client id.
    #[must_use]
    pub fn client_id(mut self, id: &str) -> Self {
        self.client_id = Some(id.to_owned());
        self
    }

    /// Sets the client instance id.
    #[must_use]
    pub fn client_instance_id(mut self, id: &str) -> Self {
        self.client_instance_id = Some(id.to_owned());
        self
    }

    /// Sets the name and the version of the client library.
    #[must_use]
    pub fn software(mut self, name: &str, version: &str) -> Self {
        self.software_name = Some(name.to_owned());
        self.software_version = Some(version.to_owned());
        self
    }

    /// Sets the address and the port that the push came from.
    #[must_use]
    pub fn source(mut self, address: IpAddr, port: u16) -> Self {
        self.source_address = Some(address.to_string());
        self.source_port = Some(port);
        self
    }

    /// Sets the authenticated principal of the client.
    #[must_use]
    pub fn principal(mut self, principal: &str) -> Self {
        self.principal = Some(principal.to_owned());
        self
    }

    /// Sets the listener that received the push.
    #[must_use]
    pub fn listener(mut self, name: &str) -> Self {
        self.listener = Some(name.to_owned());
        self
    }

    /// Sets the id of the push. The default is 0.
    #[must_use]
    pub fn id(mut self, id: u128) -> Self {
        self.id = id;
        self
    }

    /// Sets how many times the push has been offered, including this time. The default is 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets the protocol by which the push reached the host. The default is `sample`.
    #[must_use]
    pub fn ingress(mut self, name: &str) -> Self {
        self.ingress = Some(name.to_owned());
        self
    }

    /// Marks the push as the last one of a client before it terminates.
    #[must_use]
    pub fn terminating(mut self) -> Self {
        self.terminating = true;
        self
    }

    /// Sets the push interval of the client. The host has a resolution of one millisecond.
    #[must_use]
    pub fn push_interval(mut self, interval: Duration) -> Self {
        self.push_interval = Some(interval);
        self
    }

    /// Sets when the host had received the push. The default is the Unix epoch.
    #[must_use]
    pub fn received_at(mut self, moment: SystemTime) -> Self {
        self.received_at = Some(moment);
        self
    }

    /// Sets the Kafka node id of the host that received the push.
    #[must_use]
    pub fn node_id(mut self, id: i32) -> Self {
        self.node_id = Some(id);
        self
    }

    /// Sets the W3C `traceparent` that the push was sent with.
    #[must_use]
    pub fn trace_parent(mut self, value: &str) -> Self {
        self.trace_parent = Some(value.to_owned());
        self
    }

    pub(super) fn ingress_name(&self) -> &str {
        self.ingress.as_deref().unwrap_or("sample")
    }
}

fn number(value: f64) -> NumberDataPoint {
    NumberDataPoint { value: Some(number_data_point::Value::AsDouble(value)), ..Default::default() }
}

fn aggregation(temporality: Temporality) -> i32 {
    let aggregation = match temporality {
        Temporality::Cumulative => Some(AggregationTemporality::Cumulative),
        Temporality::Delta => Some(AggregationTemporality::Delta),
        Temporality::None | Temporality::Mixed => None,
    };
    aggregation.expect("the temporality of a sum or a histogram is cumulative or delta") as i32
}
