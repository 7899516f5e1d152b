//! Kafka's protocol as bytes: primitive types, the keys and versions of requests, error codes.
//!
//! Shared by the two sides of it that are here: the door, which answers, and our own clients, which ask ([`client`], the
//! one part with a socket). Decides nothing.

pub(crate) mod api;
pub mod client;
pub(crate) mod wire;
