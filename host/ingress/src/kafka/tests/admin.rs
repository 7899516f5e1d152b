//! Administrators' requests: in every version against an independent implementation, and over real sockets.

mod admin_requests;
mod wire;
