//! What a client is asked to push.

use std::sync::Arc;
use std::time::Duration;

use barnabas_base::{Codec, InstanceId};

/// The response to GetTelemetrySubscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSubscription {
    /// The client's id: its own, or a new one.
    pub instance_id: InstanceId,
    /// A pure function of the other fields and the instance id.
    pub id: i32,
    /// In order of preference.
    pub codecs: Vec<Codec>,
    /// How often to push.
    pub push_interval: Duration,
    /// The most bytes of a push on the wire.
    pub max_bytes: u32,
    /// Request delta temporality instead of cumulative.
    pub delta: bool,
    /// Prefixes of metric names; `["*"]` is all, empty is none.
    pub metrics: Arc<[Arc<str>]>,
}
