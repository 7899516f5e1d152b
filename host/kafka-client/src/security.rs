//! How our own client authenticates, and how it authenticates the broker: TLS, and the SASL mechanisms.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use barnabas_auth::hash::ScramHash;

/// How a connection is secured before its first request. The default is neither TLS nor SASL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSecurity {
    /// TLS, if the broker requires it.
    pub tls: Option<ClientTls>,
    /// The SASL login, if the broker requires it.
    pub login: Option<SaslLogin>,
}

/// TLS from the client's side. Files contain PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The trusted authorities; the system's if there is no file.
    pub authorities: Option<PathBuf>,
    /// A file with our own certificate, the rest of its chain, and its key.
    pub identity: Option<PathBuf>,
}

/// A SASL mechanism with its parameters.
#[derive(Clone, PartialEq, Eq)]
pub enum SaslLogin {
    /// RFC 4616.
    Plain {
        /// Name.
        user: String,
        /// Sent in plain text: use only with TLS.
        password: String,
    },
    /// RFC 5802 with this hash.
    Scram {
        /// SCRAM-SHA-256 or SCRAM-SHA-512.
        hash: ScramHash,
        /// Name.
        user: String,
        /// Never sent.
        password: String,
    },
    /// RFC 7628.
    Bearer {
        /// A token that an issuer signed.
        token: String,
    },
}

impl SaslLogin {
    /// Kafka's name of the mechanism.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash: ScramHash::Sha256, .. } => "SCRAM-SHA-256",
            Self::Scram { hash: ScramHash::Sha512, .. } => "SCRAM-SHA-512",
            Self::Bearer { .. } => "OAUTHBEARER",
        }
    }
}

impl fmt::Debug for SaslLogin {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Login").field(&self.mechanism()).finish()
    }
}

impl ClientTls {
    /// Reads the files.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().context("failed to configure TLS")?;
        let builder = builder.with_root_certificates(self.roots()?);
        let config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let key = PrivateKeyDer::from_pem_file(file);
                let key = key.with_context(|| format!("{} contains no private key in PEM format", file.display()))?;
                let own = builder.with_client_auth_cert(certificates(file)?, key);
                own.with_context(|| format!("{}: its certificate and its key do not match", file.display()))?
            }
        };
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            Some(file) => {
                for certificate in certificates(file)? {
                    let added = roots.add(certificate);
                    added.with_context(|| format!("{} contains an unreadable certificate", file.display()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                ensure!(
                    !roots.is_empty(),
                    "the system has no trusted authorities; name a file with their certificates"
                );
            }
        }
        Ok(roots)
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = read.with_context(|| format!("{} cannot be read as PEM certificates", file.display()))?;
    ensure!(!all.is_empty(), "{} contains no certificate; it must be a PEM file", file.display());
    Ok(all)
}
