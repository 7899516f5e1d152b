//! Compares the metrics that a client sends with the standard and with those requested from it.

use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use crate::catalogue::{ClientRole, MetricOrigin, STANDARD_METRICS, SentMetrics, StandardMetric, lookup};
use barnabas_base::units::unix_seconds;

/// The most unknown names that are listed.
pub(super) const MAX_UNKNOWN: usize = 50;
/// Share consumers have none of the standard consumer metrics (KIP-932).
const SHARE: &str = "org.apache.kafka.consumer.share.";

/// The metrics that a client was seen to send. Every name is in exactly one of the lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MetricCoverage {
    /// When one of its pushes was sampled last; few are sampled.
    #[serde(rename = "seen_unix_seconds", serialize_with = "unix_seconds")]
    pub sampled_at: SystemTime,
    /// Required metrics (KIP-714) that it sends.
    pub required_present: Vec<String>,
    /// Required metrics of its role that are requested but not sent.
    pub required_missing: Vec<&'static str>,
    /// Other metrics of the standard's 21.
    pub standard: Vec<String>,
    /// Beyond the standard, but known metrics of Java, librdkafka or Kafka Streams.
    pub beyond: Vec<String>,
    /// Metrics of an application or of a later client version; the first 50.
    pub unknown: Vec<String>,
    /// The number of unknown metrics.
    pub unknown_count: usize,
    /// Metrics whose name the host could not store because of its bounds.
    pub not_kept: u32,
}

impl MetricCoverage {
    /// For a client from which these prefixes are requested.
    pub(super) fn new(seen: &SentMetrics, requested: &[Arc<str>]) -> Self {
        let mut coverage = Self {
            sampled_at: seen.sampled_at,
            required_present: Vec::new(),
            required_missing: missing_required(&seen.names, requested),
            standard: Vec::new(),
            beyond: Vec::new(),
            unknown: Vec::new(),
            unknown_count: 0,
            not_kept: seen.not_kept,
        };
        seen.names.iter().for_each(|name| coverage.add(name));
        coverage.unknown_count = coverage.unknown.len();
        coverage.unknown.truncate(MAX_UNKNOWN);
        coverage
    }

    fn add(&mut self, name: &str) {
        let list = match lookup(name).map(|known| known.origin) {
            Some(MetricOrigin::Required) => &mut self.required_present,
            Some(MetricOrigin::Standard) => &mut self.standard,
            Some(MetricOrigin::Java | MetricOrigin::Librdkafka | MetricOrigin::Streams) => &mut self.beyond,
            None => &mut self.unknown,
        };
        list.push(name.to_owned());
    }
}

/// Required metrics that are requested but not sent. A client that sends nothing of a role is not expected to have it.
pub(super) fn missing_required(names: &[Arc<str>], requested: &[Arc<str>]) -> Vec<&'static str> {
    let has_role =
        |role: ClientRole| names.iter().any(|name| name.starts_with(role.prefix()) && !name.starts_with(SHARE));
    let sent = |metric: &StandardMetric| names.iter().any(|name| **name == *metric.name);
    let required = STANDARD_METRICS.iter().filter(|metric| metric.required && is_requested(metric.name, requested));
    required.filter(|metric| has_role(metric.role) && !sent(metric)).map(|metric| metric.name).collect()
}

/// Matches as clients do (KIP-714): by prefix; `*` alone matches everything.
fn is_requested(name: &str, requested: &[Arc<str>]) -> bool {
    matches!(requested, [all] if &**all == "*") || requested.iter().any(|prefix| name.starts_with(&**prefix))
}
