//! Who may push what, and when: client instances, subscriptions, rate rules (KIP-714).
//!
//! In: a question for a subscription, or a [`Push`]. Out: a subscription, or an [`Admitted`] that only this room can
//! make; else a [`Refusal`]. Bounded by the client table's cap and TTL. Does no I/O and reads no clock: decisions are
//! functions of state, input and the time they are given.

mod refusal;

use crate::push::{Codec, Push};

pub use refusal::Refusal;

/// A push that may go on to decode.
#[derive(Debug)]
pub struct Admitted {
    push: Push,
    codec: Codec,
}

impl Admitted {
    /// For doors whose pushes need no subscription, or whose broker has admitted them already.
    pub fn declared(push: Push) -> Result<Self, Refusal> {
        let codec = Codec::from_id(push.codec).ok_or(Refusal::UnsupportedCodec(push.codec))?;
        Ok(Self { push, codec })
    }

    /// For the next room.
    pub(crate) fn into_parts(self) -> (Push, Codec) {
        (self.push, self.codec)
    }
}
