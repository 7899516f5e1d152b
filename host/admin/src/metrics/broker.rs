//! Metrics about telemetry with the names of Kafka's own broker (KIP-714, group `client-metrics`), as sums over all
//! clients. Kafka's rates are left to the query: `rate(…_count_total[5m])`.
//!
//! Where Kafka's broker calls its plugin once per push, a receiver here is called with a batch: counts are of pushes,
//! times are of calls, in milliseconds as in Kafka.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

use barnabas_pipeline::event::{Event, EventData};

/// Kafka's sample window, of which it evaluates two.
const WINDOW: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct KafkaBrokerMetrics {
    instances: Gauge,
    unknown_subscriptions: Counter,
    throttled: Counter,
    exported: Counter,
    errors: Counter,
    // Shared with the registry, which reads it at each scrape.
    times: Arc<CallTimes>,
}

impl KafkaBrokerMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let broker = Self {
            instances: Gauge::default(),
            unknown_subscriptions: Counter::default(),
            throttled: Counter::default(),
            exported: Counter::default(),
            errors: Counter::default(),
            times: Arc::default(),
        };
        registry.register("instance_count", "Known client instances", broker.instances.clone());
        let help = "Pushes with a subscription id that is not the current one";
        registry.register("unknown_subscription_request_count", help, broker.unknown_subscriptions.clone());
        let help = "GetTelemetrySubscriptions and PushTelemetry requests that were too early or over a quota";
        registry.register("throttle_count", help, broker.throttled.clone());
        let help = "Pushes that a receiver accepted, counted for each receiver";
        registry.register("plugin_export_count", help, broker.exported.clone());
        let help = "Pushes of calls in which a receiver failed, counted again on retries";
        registry.register("plugin_error_count", help, broker.errors.clone());
        registry.register_collector(Box::new(broker.times.clone()));
        broker
    }

    pub(super) fn record(&self, event: &Event) {
        match &event.data {
            EventData::ClientsCounted { instances, .. } => {
                self.instances.set(i64::try_from(*instances).unwrap_or(i64::MAX));
            }
            EventData::PushRefused { code: "unknown_subscription", .. } => {
                self.unknown_subscriptions.inc();
            }
            EventData::PushRefused { code: "throttled" | "over_quota", .. } => {
                self.throttled.inc();
            }
            EventData::BatchEnd { pushes, duration, outcome, .. } => {
                self.times.add(event.time, *duration);
                match *outcome {
                    "taken" | "partial" => self.exported.inc_by(*pushes as u64),
                    // Half of the batch is offered next, so nothing has failed yet.
                    "too-large" | "rejected" if *pushes > 1 => 0,
                    _ => self.errors.inc_by(*pushes as u64),
                };
            }
            _ => {}
        }
    }
}

/// The calls of the last half to one minute.
#[derive(Debug, Default)]
struct CallTimes(Mutex<Windows>);

#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    /// Number of the current window since the epoch.
    number: u64,
    now: Window,
    before: Window,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    calls: u64,
    sum: Duration,
    max: Duration,
}

impl Windows {
    fn rotate(&mut self, at: SystemTime) {
        let number = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() / WINDOW.as_secs();
        if number > self.number {
            let follows = number == self.number + 1;
            self.before = if follows { self.now } else { Window::default() };
            (self.number, self.now) = (number, Window::default());
        }
    }
}

impl CallTimes {
    fn add(&self, at: SystemTime, took: Duration) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.rotate(at);
        let now = &mut windows.now;
        (now.calls, now.sum, now.max) = (now.calls + 1, now.sum + took, now.max.max(took));
    }

    /// Average and maximum in milliseconds; like Kafka, NaN if there was no call.
    fn average_and_max(&self, at: SystemTime) -> (f64, f64) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.rotate(at);
        let Windows { now, before, .. } = *windows;
        let calls = now.calls + before.calls;
        if calls == 0 {
            return (f64::NAN, f64::NAN);
        }
        let average = (now.sum + before.sum).as_secs_f64() * 1e3 / calls as f64;
        (average, now.max.max(before.max).as_secs_f64() * 1e3)
    }
}

impl Collector for CallTimes {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let (average, max) = self.average_and_max(SystemTime::now());
        for (name, help, value) in [
            (
                "plugin_export_time_avg",
                "Average time of calls of a receiver in the last minute, in milliseconds.",
                average,
            ),
            ("plugin_export_time_max", "Longest call of a receiver in the last minute, in milliseconds.", max),
        ] {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_cover_two_windows() {
        let times = CallTimes::default();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        times.add(at(29), Duration::from_millis(30));
        times.add(at(31), Duration::from_millis(10));
        assert_eq!(times.average_and_max(at(59)), (20.0, 30.0));
        assert_eq!(times.average_and_max(at(61)), (10.0, 10.0), "the first window is over");
        assert!(times.average_and_max(at(200)).0.is_nan());
    }
}
