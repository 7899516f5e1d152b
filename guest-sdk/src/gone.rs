//! Clients that are gone.

use std::fmt;
use std::time::SystemTime;

use crate::clock;
use crate::contract::batches as host;

/// A client that is gone: its series are stale. Given after the client's last push was settled. A client that is merely
/// moving between connections may come back under the same id. In a test, [`testing::gone_client`](crate::testing) makes
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GoneClient {
    /// As [`Push::client_instance_id`](crate::Push::client_instance_id).
    pub client_instance_id: String,
    /// The client id, where one was known.
    pub client_id: Option<String>,
    /// Why.
    pub reason: GoneReason,
    /// When the host knew.
    pub at: SystemTime,
}

/// Why a client is gone. Prints as the contract calls it: `terminated`, `disconnected`, `expired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GoneReason {
    /// It said so: its last push was marked terminating.
    Terminated,
    /// Its last connection closed.
    Disconnected,
    /// Nothing was heard of it for `max(60 s, 3 × push interval)` (KIP-714).
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
