//! TLS for the Kafka listener: its own certificate, the authorities it trusts, and the principal of a client's
//! certificate.
//!
//! In: PEM files. Out: an acceptor for each new connection, from the current files. Bounded by 1 MiB per file. Never
//! uses files that do not match each other: the previous ones stay in use, and one warning is logged. Sessions are
//! never resumed, so a certificate that is no longer trusted is refused on the next connection.

mod files;
mod name;

use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls::Error;

pub(crate) use files::Certificates;
pub(crate) use name::principal;

/// The PEM files of a listener, which are reloaded when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// The listener's certificate, followed by the chain to its root.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// The authorities that sign the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must present a certificate.
    pub client_auth: ClientAuth,
}

/// Whether clients must present a certificate: Kafka's `ssl.client.auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// No certificate is requested.
    #[default]
    None,
    /// Clients without a certificate are anonymous.
    Requested,
    /// Clients without a certificate are refused.
    Required,
}

impl ListenerTls {
    /// Validates the settings; the error is one sentence. The files are not read.
    pub fn check(&self) -> Result<(), String> {
        match (self.client_auth, &self.client_ca) {
            (ClientAuth::None, Some(_)) => Err("`tls.client-ca` has no effect with `client-auth = \"none\"`: remove \
                                                one of them"
                .into()),
            (ClientAuth::Requested | ClientAuth::Required, None) => {
                Err("`tls.client-auth` needs `client-ca`: add the PEM file of the authorities that sign the clients' certificates"
                    .into())
            }
            _ => Ok(()),
        }
    }
}

/// Why a handshake failed, for the operator.
pub(crate) fn describe_handshake_error(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented) => {
            "the client presented no certificate, and this listener requires one".into()
        }
        Some(Error::InvalidCertificate(why)) => format!("the client's certificate was rejected: {why}"),
        Some(Error::AlertReceived(alert)) => {
            format!("the client aborted it ({alert:?}); check that the client trusts this listener's certificate")
        }
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the client closed the connection during the handshake".into()
        }
        None => error.to_string(),
    }
}
