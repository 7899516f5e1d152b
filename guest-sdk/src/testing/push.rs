//! A push, made up by a test.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use barnabas_otlp::message::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, MetricsData, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use prost::Message;

use crate::Temporality;

/// A push as a test wants it: bytes, and as much of what the host would know as matters.
///
/// ```
/// use barnabas_sdk::{Temporality, testing::Push};
///
/// let push = Push::sum("org.apache.kafka.producer.connection.creation.total", 7.0, Temporality::Delta)
///     .client_id("orders")
///     .software("apache-kafka-java", "4.2.0")
///     .attempt(2);
/// # let host = barnabas_sdk::testing::batch([push]);
/// # let push = host.lend().pushes().next().unwrap();
/// # assert_eq!((push.attempt(), push.temporality()), (2, Temporality::Delta));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Push {
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
    /// 0 stands for the first attempt.
    pub(super) attempt: u32,
    pub(super) ingress: Option<String>,
    pub(super) terminating: bool,
    pub(super) push_interval: Option<Duration>,
    pub(super) received_at: Option<SystemTime>,
    pub(super) node_id: Option<i32>,
    pub(super) trace_parent: Option<String>,
}

impl Push {
    /// A push of these bytes (a serialized `MetricsData`), of nobody.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), ..Self::default() }
    }

    /// A push of these metrics.
    pub fn of(metrics: &MetricsData) -> Self {
        Self::new(metrics.encode_to_vec())
    }

    /// A push of one gauge with one point.
    pub fn gauge(name: &str, value: f64) -> Self {
        Self::metric(name, metric::Data::Gauge(Gauge { data_points: vec![number(value)] }))
    }

    /// A push of one monotonic sum with one point.
    ///
    /// # Panics
    ///
    /// Where the temporality is neither cumulative nor delta: one sum can be nothing else.
    pub fn sum(name: &str, value: f64, temporality: Temporality) -> Self {
        let (data_points, aggregation_temporality) = (vec![number(value)], aggregation(temporality));
        Self::metric(name, metric::Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic: true }))
    }

    /// A push of one histogram with one point: so many values in each bucket, of which there is one more than bounds.
    ///
    /// # Panics
    ///
    /// As [`sum`](Self::sum).
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
        Self::of(&MetricsData { resource_metrics: vec![resource] })
    }

    /// Sets `client.id`.
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

    /// Sets name and version of the client's software.
    #[must_use]
    pub fn software(mut self, name: &str, version: &str) -> Self {
        self.software_name = Some(name.to_owned());
        self.software_version = Some(version.to_owned());
        self
    }

    /// Sets the address and port it came from.
    #[must_use]
    pub fn source(mut self, address: IpAddr, port: u16) -> Self {
        self.source_address = Some(address.to_string());
        self.source_port = Some(port);
        self
    }

    /// Sets who the client proved to be.
    #[must_use]
    pub fn principal(mut self, principal: &str) -> Self {
        self.principal = Some(principal.to_owned());
        self
    }

    /// Sets the listener that received it.
    #[must_use]
    pub fn listener(mut self, name: &str) -> Self {
        self.listener = Some(name.to_owned());
        self
    }

    /// Sets its id; unless set it is 0.
    #[must_use]
    pub fn id(mut self, id: u128) -> Self {
        self.id = id;
        self
    }

    /// Sets how often it was offered, this time included; unless set it is 1.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets how it reached the host; unless set it is `sample`.
    #[must_use]
    pub fn ingress(mut self, name: &str) -> Self {
        self.ingress = Some(name.to_owned());
        self
    }

    /// Marks it as the last one of a client that goes away.
    #[must_use]
    pub fn terminating(mut self) -> Self {
        self.terminating = true;
        self
    }

    /// Sets how often the client was asked to push. The host knows whole milliseconds.
    #[must_use]
    pub fn push_interval(mut self, interval: Duration) -> Self {
        self.push_interval = Some(interval);
        self
    }

    /// Sets when the host had read it; unless set it is the Unix epoch.
    #[must_use]
    pub fn received_at(mut self, moment: SystemTime) -> Self {
        self.received_at = Some(moment);
        self
    }

    /// Sets the Kafka node id of the host that received it.
    #[must_use]
    pub fn node_id(mut self, id: i32) -> Self {
        self.node_id = Some(id);
        self
    }

    /// Sets the W3C `traceparent` it came with.
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
    aggregation.expect("a sum or a histogram is cumulative or delta") as i32
}
