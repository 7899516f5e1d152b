//! A push, as every door makes it: the one type in which all ways in meet, in front of admission.
//!
//! What a door cannot know is `None`, never invented. Nothing here knows Kafka's framing or OTLP.

pub mod address;
mod codec;
mod connection;
mod format;
mod id;
mod id_formats;
pub mod sample;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use codec::Codec;
pub use connection::ConnectionId;
pub use format::Format;
pub use id::{InstanceId, PushId};

/// Which door a push came through. Text form: `kafka`, `otlp-http`, `embedder`, `sample`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ingress {
    /// The Kafka listener (KIP-714 keys 71 and 72).
    Kafka,
    /// `POST /v1/metrics`.
    OtlpHttp,
    /// A program that links this library and calls `dispatch`.
    Embedder,
    /// A recorded push, given by the operator or a self-test.
    Sample,
}

impl Ingress {
    /// The name that receivers, metrics and logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::OtlpHttp => "otlp-http",
            Self::Embedder => "embedder",
            Self::Sample => "sample",
        }
    }
}

/// Who pushed, as far as the door knows. Shared by all pushes of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The KIP-714 client instance id.
    pub instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Option<Arc<str>>,
    /// From ApiVersions, `unknown` is `None`.
    pub software_name: Option<Arc<str>>,
    /// From ApiVersions.
    pub software_version: Option<Arc<str>>,
    /// Where the connection came from.
    pub source: Option<SocketAddr>,
    /// Who the client proved to be.
    pub principal: Option<Arc<str>>,
    /// Name of the listener it came through.
    pub listener: Option<Arc<str>>,
}

/// One push, as it came in: still compressed, checked by nobody.
#[derive(Clone, Debug)]
pub struct Push {
    /// Who.
    pub client: Arc<Client>,
    /// Which door.
    pub ingress: Ingress,
    /// When the last byte of it had been read.
    pub received_at: SystemTime,
    /// The client says that it is going away.
    pub terminating: bool,
    /// Subscription id that the client believes in; `None` through doors without subscriptions.
    pub subscription_id: Option<i32>,
    /// How `wire` is compressed, by Kafka's number: admission refuses one that is not a [`Codec`].
    pub codec: i8,
    /// What they are written in; `wire` holds them compressed.
    pub format: Format,
    /// The metrics, exactly as sent. Empty for a null or empty payload.
    pub wire: Bytes,
    /// How often the client was asked to push; admission fills it in for subscribed clients.
    pub push_interval: Option<Duration>,
    /// The Kafka node id under which this host received it.
    pub node_id: Option<i32>,
    /// W3C `traceparent`, where the door carries one.
    pub trace_parent: Option<Arc<str>>,
}

/// Why a client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DepartureReason {
    /// Its last push was marked terminating.
    Terminated,
    /// Its last connection closed.
    Disconnected,
    /// Not heard of for `max(60 s, 3 × interval)` (KIP-714).
    Expired,
}

/// A client that is gone, for receivers that mark its series stale.
#[derive(Clone, Debug)]
pub struct DepartedClient {
    /// Who; `instance_id` is always present.
    pub client: Arc<Client>,
    /// Why.
    pub reason: DepartureReason,
    /// When the host knew.
    pub at: SystemTime,
}
