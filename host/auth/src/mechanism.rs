//! The ways in which a client can prove who it is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A SASL mechanism, under the name that it has in Kafka's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum SaslMechanism {
    /// RFC 4616: the password itself, so only where nobody listens in.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// RFC 5802 with SHA-512, as Kafka has it.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// RFC 7628, KIP-255.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
}

impl SaslMechanism {
    /// As in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// Whether it needs a file of users.
    pub fn needs_users(self) -> bool {
        self != Self::OAuthBearer
    }
}

impl fmt::Display for SaslMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
