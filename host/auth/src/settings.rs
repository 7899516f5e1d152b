//! The authentication settings of a listener, and their validation.

use std::path::PathBuf;
use std::time::Duration;

use super::SaslMechanism;

/// The longest delay of a failure: connections that wait for it must close within the drain timeout.
const MAX_FAILURE_DELAY: Duration = Duration::from_secs(10);

/// The settings of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// In the order in which clients get them.
    pub mechanisms: Vec<SaslMechanism>,
    /// The users file, for PLAIN and SCRAM.
    pub users: Option<PathBuf>,
    /// Which tokens are valid, for OAUTHBEARER.
    pub oauth: Option<OAuthSettings>,
    /// KIP-368: after this time a client has to reauthenticate.
    pub max_session: Option<Duration>,
    /// How long the answer to a failed authentication is delayed.
    pub failure_delay: Duration,
}

/// Which tokens are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthSettings {
    /// File with the issuer's public keys, a JWK set.
    pub jwks: PathBuf,
    /// `iss` must be this.
    pub issuer: String,
    /// `aud` must be or contain this.
    pub audience: String,
    /// The claim that names the user.
    pub principal_claim: String,
}

impl AuthSettings {
    /// Validates the settings; the error is one sentence.
    pub(super) fn check(&self) -> Result<(), String> {
        let needs_users = self.mechanisms.iter().any(|mechanism| mechanism.needs_users());
        let needs_tokens = self.mechanisms.contains(&SaslMechanism::OAuthBearer);
        let twice = |(n, mechanism)| self.mechanisms.iter().take(n).any(|earlier| earlier == mechanism);
        if self.mechanisms.is_empty() {
            return Err("`sasl.mechanisms` is empty: add one, for example \"SCRAM-SHA-512\"".into());
        }
        if self.mechanisms.iter().enumerate().any(twice) {
            return Err("`sasl.mechanisms` contains a mechanism twice: remove one of them".into());
        }
        match (needs_users, &self.users) {
            (true, None) => {
                return Err(
                    "PLAIN and SCRAM need `sasl.users`: name a file, and add users to it with `barnabas user set`"
                        .into(),
                );
            }
            (false, Some(_)) => {
                return Err("`sasl.users` is for PLAIN and SCRAM, and none is enabled: remove it".into());
            }
            _ => {}
        }
        match (needs_tokens, &self.oauth) {
            (true, None) => {
                return Err("OAUTHBEARER needs `sasl.oauth`: write { jwks = FILE, issuer = …, audience = … }".into());
            }
            (false, Some(_)) => return Err("`sasl.oauth` is for OAUTHBEARER, which is not enabled: remove it".into()),
            _ => {}
        }
        if self.max_session.is_some_and(|most| most.is_zero()) {
            return Err("`sasl.max-session` is 0: remove it for unlimited sessions".into());
        }
        if self.failure_delay > MAX_FAILURE_DELAY {
            return Err(format!("`sasl.failure-delay` is {:?}: the maximum is 10s", self.failure_delay));
        }
        Ok(())
    }
}
