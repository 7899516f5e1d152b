//! Clients that are not there: what real clients do, for trying a host against a fleet of them.
//!
//! In: answers and the time. Out: what such a client would send next. Never opens a socket by itself.

pub mod model;
