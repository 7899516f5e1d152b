//! One push of a batch: its sender, its metadata and its payload.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::contract::batches as host;
use crate::otlp::MetricsData;
use crate::{Fact, clock};

/// One push. Each call of a method is a call into the host. A value that the host does not know is `None`: for example,
/// an OTLP exporter has no client instance id.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    lent: &'a host::Batch,
    index: u32,
}

impl<'a> Push<'a> {
    pub(crate) fn new(lent: &'a host::Batch, index: u32) -> Self {
        Self { lent, index }
    }

    /// The index of the push in the batch, from 0. [`Partial`](crate::Partial) refers to it.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The client instance id (KIP-714), as 22 characters of base64url without padding.
    pub fn client_instance_id(&self) -> Option<String> {
        self.lent.client_instance_id(self.index)
    }

    /// The client id, which is the configuration `client.id` of the client. Several clients may use the same one.
    pub fn client_id(&self) -> Option<String> {
        self.lent.client_id(self.index)
    }

    /// The name of the client library, for example `apache-kafka-java` or `librdkafka`.
    pub fn software_name(&self) -> Option<String> {
        self.lent.software_name(self.index)
    }

    /// The version of the client library.
    pub fn software_version(&self) -> Option<String> {
        self.lent.software_version(self.index)
    }

    /// The IP address that the push came from.
    pub fn source_address(&self) -> Option<String> {
        self.lent.source_address(self.index)
    }

    /// The port that the push came from.
    pub fn source_port(&self) -> Option<u16> {
        self.lent.source_port(self.index)
    }

    /// The authenticated principal of the client.
    pub fn principal(&self) -> Option<String> {
        self.lent.principal(self.index)
    }

    /// The id of the push. It stays the same each time the push is offered, also after a restart of the host and when
    /// the client itself retries with the same bytes, so a sink can use it to discard duplicates.
    pub fn id(&self) -> PushId {
        let (high, low) = self.lent.push_id(self.index);
        PushId((u128::from(high) << 64) | u128::from(low))
    }

    /// How many times this push has been offered to this receiver, including this time: 1 at first.
    pub fn attempt(&self) -> u32 {
        self.lent.attempt(self.index)
    }

    /// The protocol by which the push reached the host: `kafka` or `otlp-http`; `embedder` if a program that embeds the
    /// host passed it in; `sample` if it is a recorded push of a trial. Later versions may add names.
    pub fn ingress(&self) -> String {
        self.lent.ingress(self.index)
    }

    /// Whether the client marked this push as its last one before it terminates.
    pub fn terminating(&self) -> bool {
        self.lent.terminating(self.index)
    }

    /// The format of the payload: `OTLP`.
    pub fn content_type(&self) -> String {
        self.lent.content_type(self.index)
    }

    /// The aggregation temporality of the push.
    pub fn temporality(&self) -> Temporality {
        self.lent.temporality(self.index).into()
    }

    /// The number of data points in the push.
    pub fn points(&self) -> u32 {
        self.lent.points(self.index)
    }

    /// The push interval that the client was told to use. If several intervals pass without a push, the time series of
    /// the client are stale (KIP-1217).
    pub fn push_interval(&self) -> Option<Duration> {
        self.lent.push_interval_ms(self.index).map(|millis| Duration::from_millis(millis.into()))
    }

    /// When the host had received the push completely.
    pub fn received_at(&self) -> SystemTime {
        clock::from_unix_nanos(self.lent.received_at_unix_nanos(self.index))
    }

    /// The Kafka node id of the host that received the push.
    pub fn node_id(&self) -> Option<i32> {
        self.lent.node_id(self.index)
    }

    /// The W3C `traceparent` that the push was sent with.
    pub fn trace_parent(&self) -> Option<String> {
        self.lent.trace_parent(self.index)
    }

    /// A fact about the push, as text.
    pub fn fact(&self, fact: Fact) -> Option<String> {
        self.fact_by_name(fact.name())
    }

    /// A fact by a name that this crate may not know. It exists for the tests of the host.
    #[doc(hidden)]
    pub fn fact_by_name(&self, name: &str) -> Option<String> {
        self.lent.fact(self.index, name)
    }

    /// The payload of the push. For `OTLP` this is one serialized `MetricsData` message; the host has decompressed and
    /// validated it.
    pub fn bytes(&self) -> Vec<u8> {
        self.lent.bytes(self.index)
    }

    /// The decoded payload of the push.
    ///
    /// # Panics
    ///
    /// It panics if the payload is not valid OTLP. The host has validated a push of content type `OTLP`, so it never
    /// panics for one. A receiver that [accepts other types](crate::Receiver::accepted_content_types) should use
    /// [`try_metrics`](Self::try_metrics).
    pub fn metrics(&self) -> MetricsData {
        self.try_metrics().expect("the host has validated every OTLP push")
    }

    /// The decoded payload of a push that may not be OTLP.
    pub fn try_metrics(&self) -> Result<MetricsData, prost::DecodeError> {
        prost::Message::decode(self.bytes().as_slice())
    }

    /// The push as the typed values of `metrics-view`. That interface is for languages without a protobuf library; in
    /// Rust, [`metrics`](Self::metrics) is cheaper. This method exists for the tests of the host.
    #[cfg(target_arch = "wasm32")]
    #[doc(hidden)]
    pub fn view(&self) -> Result<Vec<crate::contract::metrics_view::ResourceMetrics>, String> {
        crate::contract::metrics_view::decode(self.lent, self.index)
    }
}

/// The aggregation temporality of the sums and histograms in a push. It is displayed as `none`, `cumulative`, `delta`
/// or `mixed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Temporality {
    /// The push has no sum and no histogram.
    None,
    /// Every sum and histogram is a running total since a fixed start time.
    Cumulative,
    /// Every sum and histogram is the change since the previous push: when a push is lost or counted twice, so is its
    /// change.
    Delta,
    /// The push has both kinds.
    Mixed,
}

impl fmt::Display for Temporality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Cumulative => "cumulative",
            Self::Delta => "delta",
            Self::Mixed => "mixed",
        })
    }
}

impl From<host::Temporality> for Temporality {
    fn from(temporality: host::Temporality) -> Self {
        match temporality {
            host::Temporality::None => Self::None,
            host::Temporality::Cumulative => Self::Cumulative,
            host::Temporality::Delta => Self::Delta,
            host::Temporality::Mixed => Self::Mixed,
        }
    }
}

/// The id of a push, which stays the same each time the push is offered. It is displayed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushId(pub u128);

impl fmt::Display for PushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for PushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
