//! A push, made up by a test.

use barnabas_otlp::message::{Gauge, Metric, MetricsData, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use barnabas_otlp::message::{metric, number_data_point};
use prost::Message;

/// A push as a test wants it: bytes, and as much context as matters.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "each field is documented where it is read: on `barnabas_sdk::Push`")]
pub struct Push {
    pub bytes: Vec<u8>,
    pub client_instance_id: Option<String>,
    pub client_id: Option<String>,
    pub software_name: Option<String>,
    pub software_version: Option<String>,
    pub source_address: Option<String>,
    pub source_port: Option<u16>,
    pub principal: Option<String>,
    pub listener: Option<String>,
    pub id: u128,
    /// 0 stands for the first attempt.
    pub attempt: u32,
    /// Empty stands for `sample`.
    pub way_in: String,
    pub terminating: bool,
    pub push_interval_ms: Option<u32>,
    pub received_at_unix_nanos: u64,
    pub node_id: Option<i32>,
    pub trace_parent: Option<String>,
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
        let point = NumberDataPoint { value: Some(number_data_point::Value::AsDouble(value)), ..Default::default() };
        let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
        let metric = Metric { name: name.to_owned(), data, ..Default::default() };
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

    pub(super) fn way_in(&self) -> &str {
        if self.way_in.is_empty() { "sample" } else { &self.way_in }
    }
}
