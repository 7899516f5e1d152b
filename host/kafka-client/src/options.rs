//! How a connection is made.

use std::net::IpAddr;
use std::time::Duration;

use super::ClientSecurity;

/// What one connection of our own client is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaClientOptions {
    /// `client.id` of every request.
    pub client_id: String,
    /// Name and version of the software, as ApiVersions tells them: letters, digits, and `-` and `.` between (KIP-511).
    pub software: (String, String),
    /// How long to wait for a connection, and for each answer.
    pub timeout: Duration,
    /// The local address to connect from; `None` leaves it to the system.
    pub source: Option<IpAddr>,
    /// TLS and who logs in.
    pub security: ClientSecurity,
}

impl Default for KafkaClientOptions {
    /// This program under its own name, with ten seconds of patience.
    fn default() -> Self {
        Self {
            client_id: "barnabas".into(),
            software: ("barnabas".into(), env!("CARGO_PKG_VERSION").into()),
            timeout: Duration::from_secs(10),
            source: None,
            security: ClientSecurity::default(),
        }
    }
}
