//! TLS under the Kafka door: whose certificate is shown, whose is believed, and who a client is by its own.
//!
//! In: PEM files. Out: an acceptor for each new connection, of the files as they are now. Bounded by 1 MiB a file.
//! Never takes files that do not fit each other: those of before serve on, and one line says why. A session is never
//! resumed: a certificate that is no longer believed gets in no more.

mod files;
mod name;

use std::io;
use std::path::PathBuf;

use tokio_rustls::rustls::Error;

pub(crate) use files::Certificates;
pub(crate) use name::principal;

/// Where a listener's certificates are: PEM files, read anew when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// The listener's certificate and those that lead to its root, in this order.
    pub certificate: PathBuf,
    /// Its private key: PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: PathBuf,
    /// Who signs the certificates of clients.
    pub client_ca: Option<PathBuf>,
    /// Whether clients show one.
    pub client_auth: ClientAuth,
}

/// Whether clients show a certificate: Kafka's `ssl.client.auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// Those that have one; others are anonymous.
    Requested,
    /// Those that have none are sent away.
    Required,
}

impl ListenerTls {
    /// What is wrong with it, in one sentence; the files are not looked at.
    pub fn check(&self) -> Result<(), String> {
        match (self.client_auth, &self.client_ca) {
            (ClientAuth::None, Some(_)) => Err("`tls.client-ca` has no effect with `client-auth = \"none\"`: remove \
                                                one of them"
                .into()),
            (ClientAuth::Requested | ClientAuth::Required, None) => {
                Err("`tls.client-auth` needs `client-ca`: name the PEM file of those who sign clients' certificates"
                    .into())
            }
            _ => Ok(()),
        }
    }
}

/// Why a handshake failed, for an operator.
pub(crate) fn describe_handshake_error(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::NoCertificatesPresented) => {
            "the client showed no certificate, and this listener requires one".into()
        }
        Some(Error::InvalidCertificate(why)) => format!("the client's certificate is not accepted: {why}"),
        Some(Error::AlertReceived(alert)) => format!("the client ended it ({alert:?}); does it trust our certificate?"),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the client closed the connection inside it".into(),
        None => error.to_string(),
    }
}
