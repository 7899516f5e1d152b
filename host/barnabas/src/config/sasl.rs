//! The configuration of authentication on a Kafka listener, and which principals may alter subscriptions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::raw::{ListenerProtocol, RawClientAuth, RawConfig, RawListener};
use barnabas_auth as auth;
use barnabas_auth::{Auth, AuthSettings, SaslMechanism};
use barnabas_base::units::HumanDuration;
use barnabas_ingress::kafka::AdminAccess;

/// `[listener.sasl]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawSasl {
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` and `OAUTHBEARER`, in the order in which clients get them.
    pub mechanisms: Vec<SaslMechanism>,
    /// For PLAIN and SCRAM: the file that `barnabas user` writes. Relative paths are relative to the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// Allow PLAIN without TLS, so that passwords can be read on the network.
    #[serde(default)]
    pub plain_without_tls: bool,
    /// After this time a client has to reauthenticate; if absent, only when its token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_session: Option<HumanDuration>,
    /// How long the answer to a failed authentication is delayed.
    #[serde(default = "one_second")]
    pub failure_delay: HumanDuration,
    /// For OAUTHBEARER: which tokens are valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<RawOAuth>,
}

/// `[listener.sasl.oauth]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawOAuth {
    /// File with the issuer's public keys, a JWK set; it is reloaded when it changes.
    pub jwks: PathBuf,
    /// The required `iss`.
    pub issuer: String,
    /// The required `aud`, or one of several.
    pub audience: String,
    /// The claim that names the user.
    #[serde(default = "sub")]
    pub principal_claim: String,
}

fn one_second() -> HumanDuration {
    HumanDuration(Duration::from_secs(1))
}

fn sub() -> String {
    "sub".into()
}

impl RawSasl {
    /// Resolves relative paths from `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let paths = self.users.iter_mut().chain(self.oauth.as_mut().map(|oauth| &mut oauth.jwks));
        paths.for_each(|path| *path = base.join(&*path));
    }
}

/// The authentication of this listener's clients. Opens no file.
pub(super) fn auth(listener: &RawListener) -> Result<Option<Arc<Auth>>> {
    let name = &listener.name;
    let sasl = match (&listener.sasl, listener.protocol.authenticates()) {
        (None, false) => return Ok(None),
        (Some(sasl), true) => sasl,
        (Some(_), false) => {
            let other = if listener.protocol.is_tls() { "kafka-sasl-tls" } else { "kafka-sasl-plaintext" };
            bail!("listener `{name}`: `sasl` needs the protocol `{other}`; set that protocol, or remove `sasl`")
        }
        (None, true) => {
            bail!("listener `{name}`: its protocol needs `sasl`; add [listener.sasl] with `mechanisms`")
        }
    };
    ensure!(
        sasl.plain_without_tls || !sasl.mechanisms.contains(&SaslMechanism::Plain) || listener.protocol.is_tls(),
        "listener `{name}`: PLAIN sends passwords in plain text, and this listener has no TLS; use SCRAM-SHA-512, or \
         set `sasl.plain-without-tls = true` on a trusted network"
    );
    let settings = AuthSettings {
        mechanisms: sasl.mechanisms.clone(),
        users: sasl.users.clone(),
        oauth: sasl.oauth.as_ref().map(|oauth| auth::OAuthSettings {
            jwks: oauth.jwks.clone(),
            issuer: oauth.issuer.clone(),
            audience: oauth.audience.clone(),
            principal_claim: oauth.principal_claim.clone(),
        }),
        max_session: sasl.max_session.map(|span| span.0),
        failure_delay: sasl.failure_delay.0,
    };
    let auth = Auth::new(settings).map_err(|why| anyhow::anyhow!("listener `{name}`: {why}"))?;
    Ok(Some(auth))
}

/// Which principals may describe and alter subscriptions, on every listener.
///
/// Listed principals may. Without a list every client may if no listener requires authentication, as with a broker
/// without an authorizer; but if one listener requires it, no client may on any listener: otherwise the other listener
/// would bypass it.
pub(super) fn access(written: &RawConfig) -> Result<AdminAccess> {
    let authenticates = written.listeners.iter().any(requires_authentication);
    match &written.admins {
        None if !authenticates => Ok(AdminAccess::Open),
        admins => admins.iter().flatten().map(|admin| principal(admin)).collect::<Result<_>>().map(AdminAccess::Listed),
    }
}

/// By SASL, or by a client certificate that is required.
fn requires_authentication(listener: &RawListener) -> bool {
    let certified = listener.tls.as_ref().is_some_and(|tls| match tls.client_auth {
        Some(asked) => asked == RawClientAuth::Required,
        None => tls.client_ca.is_some(),
    });
    certified || listener.protocol.authenticates()
}

fn principal(text: &str) -> Result<Arc<str>> {
    let name = text.strip_prefix("User:").unwrap_or_default();
    ensure!(!name.is_empty(), "`admins` has `{text}`: write principals as Kafka does, for example \"User:alice\"");
    Ok(text.into())
}

impl ListenerProtocol {
    /// Whether it is Kafka's protocol, with or without TLS and SASL.
    pub fn is_kafka(self) -> bool {
        self != Self::OtlpHttp
    }

    /// Whether clients have to authenticate by SASL.
    pub fn authenticates(self) -> bool {
        matches!(self, Self::KafkaSaslPlaintext | Self::KafkaSaslTls)
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::KafkaTls | Self::KafkaSaslTls)
    }
}

#[cfg(test)]
mod tests;
