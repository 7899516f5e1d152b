//! What every door talks to: admission, decode and dispatch behind one face, so that a door knows neither.
//!
//! [`Intake`] is the seam. [`Reception`] is the real one; tests of doors bring their own.

mod door;
mod reception;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::admission::Refusal;
use crate::push::{Client, Codec, InstanceId, Push};

pub use door::DoorLedger;
pub use reception::Reception;

/// One connection of a door, unique in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

impl ConnectionId {
    /// One that no other connection of any door has had.
    pub fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a client is asked for (the answer to GetTelemetrySubscriptions).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
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

/// What became of a push that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It held no metrics.
    Empty,
    /// No receiver wants it.
    Unwanted,
    /// So many receivers' queues hold it now (or have counted it as shed).
    Accepted(usize),
}

/// The way in, as doors see it. None of these waits.
pub trait Intake: Send + Sync + 'static {
    /// Whether a receiver is configured, whatever its health: only then are keys 71 and 72 offered.
    fn offers_telemetry(&self) -> bool;

    /// Answers what this client shall push. `client.instance_id` is `None` for a client that has none yet.
    fn subscribe(&self, client: &Arc<Client>, connection: ConnectionId) -> Result<Subscription, Refusal>;

    /// Takes a push from a subscribed client: admission, decode, dispatch.
    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal>;

    /// Takes a push that its door has admitted itself (doors without subscriptions): decode, dispatch.
    fn deliver(&self, push: Push) -> Result<Receipt, Refusal>;

    /// The connection is closed.
    fn disconnected(&self, connection: ConnectionId);
}
