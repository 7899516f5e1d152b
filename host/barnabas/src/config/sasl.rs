//! How clients of a Kafka listener prove who they are, as written and as meant, and who may alter subscriptions.

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
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` and `OAUTHBEARER`, in the order in which clients are told.
    pub mechanisms: Vec<SaslMechanism>,
    /// For PLAIN and SCRAM: the file that `barnabas user` writes. Relative paths are relative to the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
    /// PLAIN also without TLS, where passwords can be read on their way.
    #[serde(default)]
    pub plain_without_tls: bool,
    /// After so long at most a client has to authenticate again; without it, only when its token ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_session: Option<HumanDuration>,
    /// How long a client that fails waits until it is told.
    #[serde(default = "one_second")]
    pub failure_delay: HumanDuration,
    /// For OAUTHBEARER: which tokens hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<RawOAuth>,
}

/// `[listener.sasl.oauth]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawOAuth {
    /// File of the issuer's public keys, a JWK set; it is read again when it changes.
    pub jwks: PathBuf,
    /// What `iss` must be.
    pub issuer: String,
    /// What `aud` must be or hold.
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
    /// Takes relative paths from `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let paths = self.users.iter_mut().chain(self.oauth.as_mut().map(|oauth| &mut oauth.jwks));
        paths.for_each(|path| *path = base.join(&*path));
    }
}

/// What the clients of this listener prove themselves with. Opens no file.
pub(super) fn auth(listener: &RawListener) -> Result<Option<Arc<Auth>>> {
    let name = &listener.name;
    let sasl = match (&listener.sasl, listener.protocol.authenticates()) {
        (None, false) => return Ok(None),
        (Some(sasl), true) => sasl,
        (Some(_), false) => {
            let other = if listener.protocol.is_tls() { "kafka-sasl-tls" } else { "kafka-sasl-plaintext" };
            bail!("listener `{name}`: `sasl` is for the protocol `{other}`; write that, or remove `sasl`")
        }
        (None, true) => {
            bail!("listener `{name}`: its protocol needs `sasl`; add [listener.sasl] with `mechanisms`")
        }
    };
    ensure!(
        sasl.plain_without_tls || !sasl.mechanisms.contains(&SaslMechanism::Plain) || listener.protocol.is_tls(),
        "listener `{name}`: PLAIN sends passwords as they are, and this listener has no TLS; take SCRAM-SHA-512, or \
         set `sasl.plain-without-tls = true` where nobody can listen in"
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

/// Who may look at subscriptions and change them, on every listener.
///
/// Who is listed may. Without a list everybody may where nobody has to prove anything, as with a broker that has no
/// authorizer; but where one listener asks for proof, nobody may, by any listener: the way around would be the other.
pub(super) fn access(written: &RawConfig) -> Result<AdminAccess> {
    let authenticates = written.listeners.iter().any(requires_authentication);
    match &written.admins {
        None if !authenticates => Ok(AdminAccess::Open),
        admins => admins.iter().flatten().map(|admin| principal(admin)).collect::<Result<_>>().map(AdminAccess::Listed),
    }
}

/// By SASL, or by a certificate that nobody can do without.
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
    /// Kafka's, in whatever it is wrapped.
    pub fn is_kafka(self) -> bool {
        self != Self::OtlpHttp
    }

    /// Whether clients have to prove who they are by SASL.
    pub fn authenticates(self) -> bool {
        matches!(self, Self::KafkaSaslPlaintext | Self::KafkaSaslTls)
    }

    /// Whether nobody can listen in.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::KafkaTls | Self::KafkaSaslTls)
    }
}

#[cfg(test)]
mod tests;
