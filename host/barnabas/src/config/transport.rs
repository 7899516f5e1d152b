//! The configuration of a Kafka listener's transport: TLS and PROXY headers.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::raw::RawListener;
use barnabas_ingress::kafka;

/// `[listener.tls]`: PEM files, reloaded when they change. Relative paths are relative to the configuration file.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawTls {
    /// The listener's certificate, followed by the chain to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients must present a certificate. Default: `required` with `client-ca`, `none` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_auth: Option<RawClientAuth>,
}

/// Kafka's `ssl.client.auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawClientAuth {
    /// No certificate is requested.
    None,
    /// A client that has a certificate presents it.
    Requested,
    /// A client without a certificate is refused.
    Required,
}

/// `[listener.proxy-protocol]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawProxyProtocol {
    /// Addresses or networks that send a header on every connection.
    pub from: Vec<String>,
}

/// Resolves relative paths from `base`.
pub(super) fn resolve_paths(listener: &mut RawListener, base: &Path) {
    let Some(tls) = &mut listener.tls else { return };
    for path in [&mut tls.certificate, &mut tls.key].into_iter().chain(&mut tls.client_ca) {
        *path = base.join(&path);
    }
}

pub(super) fn tls(listener: &RawListener) -> Result<Option<kafka::ListenerTls>> {
    let name = &listener.name;
    let Some(tls) = &listener.tls else {
        ensure!(
            !listener.protocol.is_tls(),
            "listener `{name}`: its protocol needs `tls`: write `tls = {{ certificate = \"cert.pem\", key = \"key.pem\" }}`"
        );
        return Ok(None);
    };
    ensure!(
        listener.protocol.is_tls(),
        "listener `{name}`: `tls` has no effect with its protocol: set `protocol` to `kafka-tls` or `kafka-sasl-tls`, or remove `tls`"
    );
    let client_auth = match (tls.client_auth, &tls.client_ca) {
        (Some(RawClientAuth::None), _) | (None, None) => kafka::ClientAuth::None,
        (Some(RawClientAuth::Requested), _) => kafka::ClientAuth::Requested,
        (Some(RawClientAuth::Required), _) | (None, Some(_)) => kafka::ClientAuth::Required,
    };
    let (certificate, key, client_ca) = (tls.certificate.clone(), tls.key.clone(), tls.client_ca.clone());
    Ok(Some(kafka::ListenerTls { certificate, key, client_ca, client_auth }))
}

pub(super) fn proxies(listener: &RawListener) -> Result<Option<kafka::TrustedProxies>> {
    let Some(proxy) = &listener.proxy_protocol else { return Ok(None) };
    let parsed = kafka::TrustedProxies::parse(&proxy.from);
    parsed.map(Some).map_err(|why| anyhow::anyhow!("listener `{}`: {why}", listener.name))
}

/// Kafka settings are rejected on an OTLP listener, where they would have no effect.
pub(super) fn refuse_for_otlp(listener: &RawListener) -> Result<()> {
    let name = &listener.name;
    ensure!(listener.tls.is_none(), "listener `{name}`: `tls` is for `kafka-tls` listeners: remove it");
    ensure!(listener.proxy_protocol.is_none(), "listener `{name}`: `proxy-protocol` is for Kafka listeners: remove it");
    Ok(())
}

#[cfg(test)]
mod tests;
