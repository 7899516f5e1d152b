//! What every door talks to: admission, decode and dispatch behind one face, so that a door knows neither.
//!
//! [`Intake`] is the seam. [`Reception`] is the real one; tests of doors bring their own.

mod ingress_ledger;
mod large;
mod pipeline;

use std::sync::Arc;

use crate::admission::{ClientSubscription, Refusal};
use crate::push::{Client, ConnectionId, Ingress, Push};

pub use ingress_ledger::IngressLedger;
pub(crate) use large::DecodePermits;
pub use large::{LargePush, StartedPush};
pub use pipeline::IntakePipeline;

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

/// The way in, as doors see it. None of these waits. [`push`](Self::push) and [`deliver`](Self::deliver) decode on the
/// calling thread, which takes long for a push of many MiB: async code starts a push or a delivery, and
/// [finishes](Large::finish) one that is large.
pub trait Intake: Send + Sync + 'static {
    /// Whether a receiver is configured, whatever its health: only then are keys 71 and 72 offered.
    fn offers_telemetry(&self) -> bool;

    /// Whether keys 71 and 72 are offered to this client: some are hurt by telemetry. What it asks all the same is
    /// answered by the rules.
    fn offers_telemetry_to(&self, client: &Client) -> bool {
        let _ = client;
        self.offers_telemetry()
    }

    /// Answers what this client shall push. `client.instance_id` is `None` for a client that has none yet.
    fn subscribe(&self, client: &Arc<Client>, connection: ConnectionId) -> Result<ClientSubscription, Refusal>;

    /// Takes a push from a subscribed client: admission, decode, dispatch.
    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal>;

    /// Takes a push that its door has admitted itself (doors without subscriptions): decode, dispatch.
    fn deliver(&self, push: Push) -> Result<Receipt, Refusal>;

    /// Takes a push from a subscribed client as far as that is done quickly: all the way, except for one that is large.
    fn start_push(self: Arc<Self>, push: Push, connection: ConnectionId) -> StartedPush {
        StartedPush::Done(self.push(push, connection))
    }

    /// Likewise for a push that its door has admitted itself.
    fn start_delivery(self: Arc<Self>, push: Push) -> StartedPush {
        StartedPush::Done(self.deliver(push))
    }

    /// Counts a push that its door had to refuse unread, as far as it knows of whom. It costs its sender what one that
    /// was read does.
    fn record_refused(
        &self,
        way_in: Ingress,
        wire_bytes: usize,
        client: &Arc<Client>,
        connection: ConnectionId,
        refusal: Refusal,
    );

    /// The connection is closed.
    fn disconnected(&self, connection: ConnectionId);
}
