//! The time since the last push of any client, which shows when a whole fleet falls silent.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use barnabas_pipeline::event::{Event, EventData};

/// The time of the last push; before the first, of the start of the host: a restart may be what silenced the clients.
#[derive(Debug)]
pub(super) struct PushAge(Mutex<SystemTime>);

impl PushAge {
    /// Starts now.
    pub(super) fn new() -> Self {
        Self(Mutex::new(SystemTime::now()))
    }

    pub(super) fn record(&self, event: &Event) {
        if matches!(event.data, EventData::PushReceived { .. }) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = event.time;
        }
    }
}

impl Collector for PushAge {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = SystemTime::now().duration_since(last).unwrap_or_default().as_secs_f64();
        let help = "Time since the last push was received, refused or not; before the first, since the host started.";
        let metric = encoder.encode_descriptor("push_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        ConstGauge::new(age).encode(metric)
    }
}
