//! Lists and descriptions of clients, as JSON.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::MetricCoverage;
use super::problems::{self, remedy};
use crate::admission::ClientSnapshot;
use crate::catalogue::{ClientRole, SentMetrics};
use barnabas_base::units::{seconds, unix_seconds};

/// A list of clients.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientList {
    /// Client instances that the host knows.
    pub known: usize,
    /// Clients that match the query, listed or not.
    pub matching: usize,
    /// The most recently active clients, the latest first.
    pub clients: Vec<ClientSummary>,
}

/// One client in short. What is not known is `null`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(
    missing_docs,
    reason = "each is a field of `push::Client` or `admission::ClientSnapshot`, or documents what it adds"
)]
pub struct ClientSummary {
    /// Client instance id as Java prints it.
    pub id: String,
    pub client_id: Option<String>,
    pub software_name: Option<String>,
    pub software_version: Option<String>,
    pub source: Option<SocketAddr>,
    pub principal: Option<String>,
    pub listener: Option<String>,
    /// Derived from the names of its metrics.
    pub role: Option<ClientRole>,
    #[serde(rename = "since_unix_seconds", serialize_with = "unix_seconds")]
    pub first_seen: SystemTime,
    #[serde(rename = "last_seen_unix_seconds", serialize_with = "unix_seconds")]
    pub last_seen: SystemTime,
    #[serde(rename = "push_interval_seconds", serialize_with = "seconds")]
    pub push_interval: Duration,
    pub subscriptions: Vec<String>,
    pub connections: usize,
    pub gets: u32,
    pub pushes: u32,
    pub pushes_of_subscription: u32,
    pub refused: u32,
    pub gone: bool,
    /// What is wrong and how to fix it, one sentence each.
    pub trouble: Vec<String>,
}

/// Everything about one client.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientDescription {
    /// The same fields as in the list.
    #[serde(flatten)]
    pub summary: ClientSummary,
    /// The id as librdkafka logs it.
    pub id_base64: String,
    /// The id as 32 hex digits.
    pub id_hex: String,
    /// The id of the subscription that it has or will be given.
    pub subscription_id: i32,
    /// The requested metric prefixes; an empty prefix, or `*` alone, requests all metrics.
    pub metric_prefixes: Vec<String>,
    /// The latest refusal.
    pub last_refusal: Option<LastRefusal>,
    /// The metrics that it was seen to send since its subscription changed; `None` while nothing was sampled.
    pub metrics: Option<MetricCoverage>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastRefusal {
    /// The code that the metrics of the listener use.
    pub code: &'static str,
    /// When.
    #[serde(rename = "at_unix_seconds", serialize_with = "unix_seconds")]
    pub at: SystemTime,
    /// What the code means and what to do about it.
    pub remedy: &'static str,
}

impl ClientSummary {
    /// `None` for a client without an id, which admission does not have.
    pub(super) fn new(snapshot: &ClientSnapshot, seen: Option<&SentMetrics>, now: SystemTime) -> Option<Self> {
        let client = &snapshot.client;
        Some(Self {
            id: client.instance_id?.to_string(),
            client_id: client.client_id.as_deref().map(str::to_owned),
            software_name: client.software_name.as_deref().map(str::to_owned),
            software_version: client.software_version.as_deref().map(str::to_owned),
            source: client.source,
            principal: client.principal.as_deref().map(str::to_owned),
            listener: client.listener.as_deref().map(str::to_owned),
            role: seen.and_then(|seen| ClientRole::from_names(&seen.names)),
            first_seen: snapshot.first_seen,
            last_seen: snapshot.last_seen,
            push_interval: snapshot.push_interval,
            subscriptions: to_strings(&snapshot.subscriptions),
            connections: snapshot.connections,
            gets: snapshot.gets,
            pushes: snapshot.pushes,
            pushes_of_subscription: snapshot.pushes_of_subscription,
            refused: snapshot.refused,
            gone: snapshot.gone,
            trouble: problems::find(snapshot, seen, now),
        })
    }
}

impl ClientDescription {
    pub(super) fn new(snapshot: &ClientSnapshot, seen: Option<&SentMetrics>, now: SystemTime) -> Option<Self> {
        let id = snapshot.client.instance_id?;
        Some(Self {
            summary: ClientSummary::new(snapshot, seen, now)?,
            id_base64: id.to_base64(),
            id_hex: id.to_hex(),
            subscription_id: snapshot.subscription_id,
            metric_prefixes: to_strings(&snapshot.metrics),
            last_refusal: snapshot.last_refusal.map(|(code, at)| LastRefusal { code, at, remedy: remedy(code) }),
            metrics: seen.map(|seen| MetricCoverage::new(seen, &snapshot.metrics)),
        })
    }
}

fn to_strings(shared: &[Arc<str>]) -> Vec<String> {
    shared.iter().map(|text| text.to_string()).collect()
}
