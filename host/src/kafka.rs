//! Kafka's protocol as bytes: primitive types, the keys and versions of requests, error codes.
//!
//! Shared by the two sides of it that are here: the door, which answers, and our own clients, which ask. Knows no socket
//! and decides nothing.

pub(crate) mod api;
pub(crate) mod wire;
