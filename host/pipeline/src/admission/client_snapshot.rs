//! What an operator can see of a client instance.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::push::Client;

/// A known client instance at one moment.
#[derive(Clone, Debug)]
pub struct ClientSnapshot {
    /// The client, as it was when first seen.
    pub client: Arc<Client>,
    /// When first seen.
    pub first_seen: SystemTime,
    /// Its latest request.
    pub last_seen: SystemTime,
    /// The id of the subscription that it has or will be given.
    pub subscription_id: i32,
    /// Names of the subscriptions that match it, sorted.
    pub subscriptions: Vec<Arc<str>>,
    /// The requested metric prefixes, as they are sent to the client.
    pub metrics: Arc<[Arc<str>]>,
    /// How often it is to push.
    pub push_interval: Duration,
    /// Open connections; at most eight are counted.
    pub connections: usize,
    /// GetTelemetrySubscriptions requests, refused ones included.
    pub gets: u32,
    /// PushTelemetry requests, refused ones included.
    pub pushes: u32,
    /// Of the pushes, those admitted since its subscription last changed. One that a later stage refused counts too.
    pub pushes_of_subscription: u32,
    /// A push was admitted since its last answered GetTelemetrySubscriptions.
    pub pushed_since_get: bool,
    /// Of both kinds of requests, those refused.
    pub refused: u32,
    /// The [`Refusal::code`](super::Refusal::code) of the latest refusal, and when it was.
    pub last_refusal: Option<(&'static str, SystemTime)>,
    /// All its connections are closed, or its last push was terminating.
    pub gone: bool,
}
