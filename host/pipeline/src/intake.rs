//! The interface of all listeners to admission, decode and dispatch, so that a listener knows none of them.
//!
//! [`Intake`] is the interface. [`IntakePipeline`] implements it; tests of listeners bring their own implementation.

mod ingress_ledger;
mod large;
mod pipeline;

use std::sync::Arc;

use crate::admission::{ClientSubscription, Refusal};
use crate::push::{Client, ConnectionId, Ingress, Push};

pub use ingress_ledger::IngressLedger;
pub use large::DecodePermits;
pub use large::{LargePush, StartedPush};
pub use pipeline::IntakePipeline;

/// The result of a push that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It contained no metrics.
    Empty,
    /// No receiver wants it.
    Unwanted,
    /// The number of receivers whose queue now holds it (or counted it as shed).
    Accepted(usize),
}

/// The operations of a listener. None of them waits. [`push`](Self::push) and [`deliver`](Self::deliver) decode on the
/// calling thread, which takes long for a push of many MiB: async code starts a push or a delivery, and
/// [finishes](LargePush::finish) one that is large.
pub trait Intake: Send + Sync + 'static {
    /// Whether a receiver is configured, whatever its health: only then are API keys 71 and 72 offered.
    fn offers_telemetry(&self) -> bool;

    /// Whether API keys 71 and 72 are offered to this client; telemetry harms some clients. Requests that it sends
    /// nevertheless are answered according to the rules.
    fn offers_telemetry_to(&self, client: &Client) -> bool {
        let _ = client;
        self.offers_telemetry()
    }

    /// Returns what this client is to push. `client.instance_id` is `None` for a client that has none yet.
    fn subscribe(&self, client: &Arc<Client>, connection: ConnectionId) -> Result<ClientSubscription, Refusal>;

    /// Processes a push of a subscribed client: admission, decode, dispatch.
    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal>;

    /// Processes a push that its listener has admitted itself (protocols without subscriptions): decode, dispatch.
    fn deliver(&self, push: Push) -> Result<Receipt, Refusal>;

    /// Processes a push of a subscribed client as far as that is quick: completely, unless it is large.
    fn start_push(self: Arc<Self>, push: Push, connection: ConnectionId) -> StartedPush {
        StartedPush::Done(self.push(push, connection))
    }

    /// As [`Intake::start_push`], for a push that its listener has admitted itself.
    fn start_delivery(self: Arc<Self>, push: Push) -> StartedPush {
        StartedPush::Done(self.deliver(push))
    }

    /// Records a push that its listener had to refuse without reading it, as far as its sender is known. It costs the
    /// sender the same quota as a push that was read.
    fn record_refused(
        &self,
        way_in: Ingress,
        wire_bytes: usize,
        client: &Arc<Client>,
        connection: ConnectionId,
        refusal: Refusal,
    );

    /// The connection was closed.
    fn disconnected(&self, connection: ConnectionId);
}
