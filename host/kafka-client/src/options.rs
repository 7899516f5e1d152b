//! Options of a connection.

use std::net::IpAddr;
use std::time::Duration;

use super::ClientSecurity;

/// The options of one connection of our own client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaClientOptions {
    /// `client.id` of every request.
    pub client_id: String,
    /// Name and version of the software for ApiVersions: letters and digits, with `-` and `.` between them (KIP-511).
    pub software: (String, String),
    /// How long to wait for a connection, and for each answer.
    pub timeout: Duration,
    /// The local address to connect from; `None` leaves it to the system.
    pub source: Option<IpAddr>,
    /// TLS and the SASL login.
    pub security: ClientSecurity,
}

impl Default for KafkaClientOptions {
    /// This program under its own name, with a timeout of ten seconds.
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
