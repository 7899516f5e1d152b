//! The root certificates that are trusted.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::EgressError;

/// The root certificates of the platform. They are read once in the life of the process, at the first `https` request.
static NATIVE: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();

/// The root certificates of the platform and additional ones.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    extra: Arc<[CertificateDer<'static>]>,
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Trust {
    /// With additional root certificates (DER).
    pub fn with_roots(extra: Vec<CertificateDer<'static>>) -> Self {
        Self { extra: extra.into(), ..Self::default() }
    }

    /// The TLS configuration. It is created at the first use; after a failure the next request tries again.
    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>, EgressError> {
        self.config.get_or_try_init(|| self.build()).await.cloned()
    }

    async fn build(&self) -> Result<Arc<ClientConfig>, EgressError> {
        let mut roots = match NATIVE.get_or_try_init(native).await {
            Ok(native) => RootCertStore::clone(native),
            Err(error) if self.extra.is_empty() => return Err(error),
            Err(_) => RootCertStore::empty(),
        };
        for root in self.extra.iter() {
            roots
                .add(root.clone())
                .map_err(|e| EgressError::NoRootCertificates(format!("an additional certificate is not valid: {e}")))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(|e| EgressError::NoRootCertificates(e.to_string()))?;
        Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
    }
}

async fn native() -> Result<Arc<RootCertStore>, EgressError> {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let loaded = loaded.map_err(|e| EgressError::NoRootCertificates(e.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(loaded.certs);
    if added == 0 {
        let why = loaded.errors.first().map_or_else(|| "no certificate was found".to_owned(), ToString::to_string);
        return Err(EgressError::NoRootCertificates(format!(
            "{why}; install the CA certificates of the system, or set SSL_CERT_FILE to the path of a PEM file"
        )));
    }
    Ok(Arc::new(roots))
}
