//! From bytes on the wire to a checked payload: decompression under caps, then a walk over OTLP.
//!
//! In: [`Admitted`]. Out: [`Decoded`], whose [`Payload`] only this room can make; else a `Refusal`. Bounded by caps on
//! output bytes and on their ratio to the wire bytes. Builds no OTLP structs, does no I/O.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::push::{Client, PushId, WayIn};

/// How the sums of a push relate to time, as its points say.
pub use barnabas_otlp::walk::Temporality;

/// What decode made of a push.
#[derive(Debug)]
pub enum Decoded {
    /// No metrics in it.
    Empty,
    /// For dispatch.
    Payload(Payload),
}

/// A checked push: `bytes` is one valid OTLP `MetricsData` message.
#[derive(Debug)]
pub struct Payload {
    client: Arc<Client>,
    id: PushId,
    way_in: WayIn,
    received_at: SystemTime,
    terminating: bool,
    push_interval: Option<Duration>,
    node_id: Option<i32>,
    trace_parent: Option<Arc<str>>,
    bytes: Bytes,
    wire_len: usize,
    points: u32,
    temporality: Temporality,
    repaired: u32,
}

#[allow(missing_docs, reason = "each names a field that `Push` documents, or says below what it adds")]
impl Payload {
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }
    pub fn id(&self) -> PushId {
        self.id
    }
    pub fn way_in(&self) -> WayIn {
        self.way_in
    }
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }
    pub fn terminating(&self) -> bool {
        self.terminating
    }
    pub fn push_interval(&self) -> Option<Duration> {
        self.push_interval
    }
    pub fn node_id(&self) -> Option<i32> {
        self.node_id
    }
    pub fn trace_parent(&self) -> Option<&str> {
        self.trace_parent.as_deref()
    }
    /// Decompressed, checked, repaired.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
    /// Bytes before decompression.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }
    /// Data points in it.
    pub fn points(&self) -> u32 {
        self.points
    }
    pub fn temporality(&self) -> Temporality {
        self.temporality
    }
    /// Strings whose UTF-8 was repaired.
    pub fn repaired(&self) -> u32 {
        self.repaired
    }
}
