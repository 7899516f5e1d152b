//! What a client is told to push.

use std::sync::Arc;
use std::time::Duration;

use crate::push::{Codec, InstanceId};

/// What a client is asked for (the answer to GetTelemetrySubscriptions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSubscription {
    /// The client's id: its own echoed, or a new one.
    pub instance_id: InstanceId,
    /// Pure function of the rest and the instance id.
    pub id: i32,
    /// In order of preference.
    pub codecs: Vec<Codec>,
    /// How often to push.
    pub push_interval: Duration,
    /// Most bytes of a push on the wire.
    pub max_bytes: u32,
    /// Ask for changes since the push before instead of running totals.
    pub delta: bool,
    /// Prefixes of metric names; `["*"]` is all, empty is none.
    pub metrics: Arc<[Arc<str>]>,
}
