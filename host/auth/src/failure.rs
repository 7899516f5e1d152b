//! Why a client could not prove who it is, in words for the operator: the client itself hears only that it could not.

use super::SaslMechanism;

/// What a client is told of any failure.
pub const CLIENT_MESSAGE: &str = "authentication failed";

/// Holds nothing that the client sent: it may be a password in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthFailure {
    /// Not in the mechanism's format.
    #[error("a message of {0} is malformed: {1}")]
    Malformed(SaslMechanism, &'static str),
    /// No such user, or not its password.
    #[error("no such user, or not the password, by {0}")]
    Credentials(SaslMechanism),
    /// A bearer token that does not hold.
    #[error("the token {0}")]
    Token(&'static str),
    /// KIP-368: a connection stays with whom it began.
    #[error("re-authentication as somebody else")]
    PrincipalChanged,
}
