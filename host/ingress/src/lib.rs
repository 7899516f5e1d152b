//! Listeners: where bytes from the network become pushes.
//!
//! In: connections. Out: a [`Push`](barnabas_pipeline::push::Push) or a subscription request, handed to
//! [`Intake`](barnabas_pipeline::intake::Intake), whose answer is sent back in the client's protocol. Bounded by a connection limit
//! for each listener and by one [`ByteBudget`](budget::ByteBudget) that all listeners share. Never decompresses a push,
//! never reads its metrics, and never waits for a receiver.

pub mod budget;
mod http1;
pub mod kafka;
pub mod log_limiter;
pub mod otlp_http;
pub mod protocol;
pub mod subscription;
