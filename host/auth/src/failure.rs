//! Why an authentication failed, for the operator: the client only learns that it failed.

use super::SaslMechanism;

/// The message to the client for every failure.
pub const CLIENT_MESSAGE: &str = "authentication failed";

/// Contains nothing that the client sent: it may be a password in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// Not in the mechanism's format.
    #[error("malformed {0} message: {1}")]
    Malformed(SaslMechanism, &'static str),
    /// No such user, or the wrong password.
    #[error("invalid username or password ({0})")]
    Credentials(SaslMechanism),
    /// An invalid bearer token.
    #[error("the token {0}")]
    Token(&'static str),
    /// KIP-368: a connection keeps its first principal.
    #[error("reauthentication as another principal")]
    PrincipalChanged,
}
