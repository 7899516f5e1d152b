//! Notices about clients that are gone.

use std::fmt;
use std::time::SystemTime;

use crate::clock;
use crate::contract::batches as host;

/// A client that is gone, so that its time series are stale. A receiver gets this notice after the last push of the
/// client was accepted or dropped. A client that only moved to another connection may return under the same client
/// instance id. In a test, [`testing::gone_client`](crate::testing) creates one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoneClient {
    /// The client instance id, in the format of [`Push::client_instance_id`](crate::Push::client_instance_id).
    pub client_instance_id: String,
    /// The client id, if the host knows it.
    pub client_id: Option<String>,
    /// Why the host considers the client gone.
    pub reason: GoneReason,
    /// When the host detected it.
    pub at: SystemTime,
}

/// Why the host considers a client gone. It is displayed as `terminated`, `disconnected` or `expired`, as in the
/// contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GoneReason {
    /// The client announced it: its last push was marked as terminating.
    Terminated,
    /// The last connection of the client was closed.
    Disconnected,
    /// The host received no telemetry request from the client for `max(60 s, 3 × push interval)` (KIP-714).
    Expired,
}

impl fmt::Display for GoneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Terminated => "terminated",
            Self::Disconnected => "disconnected",
            Self::Expired => "expired",
        })
    }
}

impl From<host::GoneClient> for GoneClient {
    fn from(client: host::GoneClient) -> Self {
        let host::GoneClient { client_instance_id, client_id, reason, at_unix_nanos } = client;
        Self { client_instance_id, client_id, reason: reason.into(), at: clock::from_unix_nanos(at_unix_nanos) }
    }
}

impl From<host::GoneReason> for GoneReason {
    fn from(reason: host::GoneReason) -> Self {
        match reason {
            host::GoneReason::Terminated => Self::Terminated,
            host::GoneReason::Disconnected => Self::Disconnected,
            host::GoneReason::Expired => Self::Expired,
        }
    }
}
