//! Whose certificates are believed.

use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::EgressError;

/// The platform's, read once in the life of the process and only when somebody asks for `https`.
static NATIVE: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();

/// The platform's root certificates and any that the operator adds.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    extra: Arc<[CertificateDer<'static>]>,
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Trust {
    /// With further roots (DER) beside the platform's.
    pub fn with_roots(extra: Vec<CertificateDer<'static>>) -> Self {
        Self { extra: extra.into(), ..Self::default() }
    }

    /// Made at first use; a failure is tried again by the next request.
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
                .map_err(|e| EgressError::NoRootCertificates(format!("an added one is unusable: {e}")))?;
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
        let why = loaded.errors.first().map_or_else(|| "none were found".to_owned(), ToString::to_string);
        return Err(EgressError::NoRootCertificates(format!(
            "{why}; install the system's certificates or point SSL_CERT_FILE at a PEM file"
        )));
    }
    Ok(Arc::new(roots))
}
