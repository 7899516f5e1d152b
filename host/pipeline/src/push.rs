//! A push as every ingress creates it: the one type in which all protocols meet, before admission.
//!
//! A fact that the ingress does not know is `None`, never invented. Nothing here knows Kafka's framing or OTLP.

pub mod address;
mod connection;
mod format;
mod push_id;
pub mod sample;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

pub use barnabas_base::{Codec, InstanceId};
pub use connection::ConnectionId;
pub use format::Format;
pub use push_id::PushId;

/// The protocol of a push. Text form: `kafka`, `otlp-http`, `embedder`, `sample`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ingress {
    /// The Kafka listener (KIP-714 keys 71 and 72).
    Kafka,
    /// `POST /v1/metrics`.
    OtlpHttp,
    /// A program that links this library and calls `dispatch` itself.
    Embedder,
    /// A recorded push, from the operator or from a self-test.
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

/// The client that pushed, as far as the ingress knows it. Shared by all pushes of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The KIP-714 client instance id.
    pub instance_id: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Option<Arc<str>>,
    /// From ApiVersions; `unknown` becomes `None`.
    pub software_name: Option<Arc<str>>,
    /// From ApiVersions.
    pub software_version: Option<Arc<str>>,
    /// The remote address of the connection.
    pub source: Option<SocketAddr>,
    /// The principal that the client authenticated as.
    pub principal: Option<Arc<str>>,
    /// The name of the listener that accepted the connection.
    pub listener: Option<Arc<str>>,
}

/// One push as received: still compressed, not checked yet.
#[derive(Clone, Debug)]
pub struct Push {
    /// The client that sent it.
    pub client: Arc<Client>,
    /// The protocol over which it was received.
    pub ingress: Ingress,
    /// When its last byte was read.
    pub received_at: SystemTime,
    /// The client announces that this is its last push.
    pub terminating: bool,
    /// The subscription id that the client sent; `None` for an ingress without subscriptions.
    pub subscription_id: Option<i32>,
    /// The compression of `wire`, by Kafka's number; admission refuses a number that is not a [`Codec`].
    pub codec: i8,
    /// The encoding of the metrics once `wire` is decompressed.
    pub format: Format,
    /// The metrics exactly as sent. Empty for a null or empty payload.
    pub wire: Bytes,
    /// The push interval that the client was given; admission sets it for subscribed clients.
    pub push_interval: Option<Duration>,
    /// The Kafka node id under which this host received it.
    pub node_id: Option<i32>,
    /// W3C `traceparent`, where the protocol carries one.
    pub trace_parent: Option<Arc<str>>,
}

/// Why a client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DepartureReason {
    /// Its last push was marked terminating.
    Terminated,
    /// Its last connection closed.
    Disconnected,
    /// No request for `max(60 s, 3 × interval)` (KIP-714).
    Expired,
}

/// A client that is gone, for receivers that mark its series as stale.
#[derive(Clone, Debug)]
pub struct DepartedClient {
    /// The client; `instance_id` is always present.
    pub client: Arc<Client>,
    /// The reason.
    pub reason: DepartureReason,
    /// When the host noticed.
    pub at: SystemTime,
}
