//! One push of a batch: who sent it, what is known of it, and its bytes.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::contract::batches as host;
use crate::otlp::MetricsData;
use crate::{Fact, clock};

/// One push. Each method asks the host anew. What the host could not learn is `None`, never invented: an OTLP exporter
/// has no client instance id.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    lent: &'a host::Batch,
    index: u32,
}

impl<'a> Push<'a> {
    pub(crate) fn new(lent: &'a host::Batch, index: u32) -> Self {
        Self { lent, index }
    }

    /// Its place in the batch, from 0: what [`Partial`](crate::Partial) names.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The KIP-714 client instance id: 22 characters of base64url.
    pub fn client_instance_id(&self) -> Option<String> {
        self.lent.client_instance_id(self.index)
    }

    /// What the client calls itself (`client.id`). Several may share one.
    pub fn client_id(&self) -> Option<String> {
        self.lent.client_id(self.index)
    }

    /// For example `apache-kafka-java` or `librdkafka`.
    pub fn software_name(&self) -> Option<String> {
        self.lent.software_name(self.index)
    }

    /// Version of that software.
    pub fn software_version(&self) -> Option<String> {
        self.lent.software_version(self.index)
    }

    /// IP address the push came from.
    pub fn source_address(&self) -> Option<String> {
        self.lent.source_address(self.index)
    }

    /// Port it came from.
    pub fn source_port(&self) -> Option<u16> {
        self.lent.source_port(self.index)
    }

    /// Who the client proved to be.
    pub fn principal(&self) -> Option<String> {
        self.lent.principal(self.index)
    }

    /// The same each time this push is offered, also after a restart of the host and when the client itself sends the
    /// same bytes again: what a sink can tell repeats by.
    pub fn id(&self) -> PushId {
        let (high, low) = self.lent.push_id(self.index);
        PushId((u128::from(high) << 64) | u128::from(low))
    }

    /// 1 the first time this push is offered to this receiver, and one more each time it is offered again.
    pub fn attempt(&self) -> u32 {
        self.lent.attempt(self.index)
    }

    /// How it reached the host: `kafka`, `otlp-http`, `embedder`, `sample`; later hosts have further names.
    pub fn ingress(&self) -> String {
        self.lent.ingress(self.index)
    }

    /// Whether the client says that it is going away.
    pub fn terminating(&self) -> bool {
        self.lent.terminating(self.index)
    }

    /// `OTLP`.
    pub fn content_type(&self) -> String {
        self.lent.content_type(self.index)
    }

    /// How its sums relate to time.
    pub fn temporality(&self) -> Temporality {
        self.lent.temporality(self.index).into()
    }

    /// How many data points it holds.
    pub fn points(&self) -> u32 {
        self.lent.points(self.index)
    }

    /// How often the client was asked to push: without news for a multiple of it, its series are stale.
    pub fn push_interval(&self) -> Option<Duration> {
        self.lent.push_interval_ms(self.index).map(|millis| Duration::from_millis(millis.into()))
    }

    /// When the host had read it.
    pub fn received_at(&self) -> SystemTime {
        clock::from_unix_nanos(self.lent.received_at_unix_nanos(self.index))
    }

    /// The Kafka node id of the host that received it.
    pub fn node_id(&self) -> Option<i32> {
        self.lent.node_id(self.index)
    }

    /// The W3C `traceparent` it came with.
    pub fn trace_parent(&self) -> Option<String> {
        self.lent.trace_parent(self.index)
    }

    /// Any fact, as text.
    pub fn fact(&self, fact: Fact) -> Option<String> {
        self.fact_by_name(fact.name())
    }

    /// By a name that this crate may not know. For the tests of the host.
    #[doc(hidden)]
    pub fn fact_by_name(&self, name: &str) -> Option<String> {
        self.lent.fact(self.index, name)
    }

    /// The push as it is: for `OTLP` one serialized `MetricsData` message, decompressed and checked.
    pub fn bytes(&self) -> Vec<u8> {
        self.lent.bytes(self.index)
    }

    /// The push, decoded.
    ///
    /// # Panics
    ///
    /// Never for a push of content type `OTLP`, which the host has checked. A receiver that
    /// [accepts others](crate::Receiver::accepted_content_types) uses [`try_metrics`](Self::try_metrics).
    pub fn metrics(&self) -> MetricsData {
        self.try_metrics().expect("the host lends only OTLP that it has checked")
    }

    /// The push, decoded, where its bytes may be something else than OTLP.
    pub fn try_metrics(&self) -> Result<MetricsData, prost::DecodeError> {
        prost::Message::decode(self.bytes().as_slice())
    }

    /// The push as the contract's typed view. In Rust [`metrics`](Self::metrics) is cheaper; the view is for languages
    /// without protobuf, and this for tests of it.
    #[cfg(target_arch = "wasm32")]
    #[doc(hidden)]
    pub fn view(&self) -> Result<Vec<crate::contract::metrics_view::ResourceMetrics>, String> {
        crate::contract::metrics_view::decode(self.lent, self.index)
    }
}

/// How the sums and histograms of a push relate to time. Prints as `none`, `cumulative`, `delta`, `mixed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Temporality {
    /// No sum or histogram in it.
    None,
    /// Running totals since a fixed start.
    Cumulative,
    /// Changes since the push before: a lost or repeated push is a lost or repeated change.
    Delta,
    /// Both kinds in one push.
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

/// 128 bits that are the same each time one push is offered. Prints as 32 hexadecimal digits.
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
