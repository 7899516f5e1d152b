//! From a checked payload to the queue of each receiver that wants it, and from there batch by batch to its workers.
//!
//! In: [`Payload`](crate::decode::Payload). Out: [`Batch`], which only this room can make and which is settled exactly
//! once. Never waits for a receiver; every queue is bounded in bytes and in pushes; every push is in exactly one term
//! of each slot's ledger.

mod batch;
mod outcome;

pub use batch::{Batch, Delivery};
pub use outcome::{Fault, Outcome};
