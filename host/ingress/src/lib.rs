//! Doors: where bytes from the network become pushes.
//!
//! In: connections. Out: [`Push`](barnabas_pipeline::push::Push) and questions for subscriptions, handed to
//! [`Intake`](barnabas_pipeline::intake::Intake), whose answers go back in the protocol's words. Bounded by a cap on connections
//! for each door and by one [`Budget`](budget::Budget) of bytes that all doors draw on. A door never decompresses a
//! push, never looks into it, and never waits for a receiver.

pub mod budget;
mod http1;
pub mod kafka;
pub mod log_limiter;
pub mod otlp_http;
pub mod protocol;
pub mod subscription;
