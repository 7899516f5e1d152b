//! Certificates and keys: loaded from their files into an acceptor, and reloaded when the files change.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};

use super::{ClientAuth, ListenerTls};

/// The shortest time between two checks of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The largest file: far more than the bundle of all public authorities.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The configuration in use, and the state of the files at the last check.
#[derive(Debug)]
pub(crate) struct Certificates {
    listener: Arc<str>,
    tls: ListenerTls,
    state: Mutex<CertificatesState>,
}

#[derive(Debug)]
struct CertificatesState {
    serving: Arc<ServerConfig>,
    /// The digest of the content that was loaded last, valid or not, or why it could not be read, so that each failure
    /// is logged once.
    last_tried: Result<[u8; 32], String>,
    last_checked: Instant,
}

/// The content of the files.
struct PemFiles {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
}

impl Certificates {
    /// Loads the files for the first time. The error is one sentence that names the file.
    pub(crate) fn load(listener: Arc<str>, tls: ListenerTls) -> Result<Self, String> {
        let files = PemFiles::read(&tls)?;
        let (serving, tried) = (files.config(&tls)?, Ok(files.digest()));
        Ok(Self {
            listener,
            tls,
            state: Mutex::new(CertificatesState { serving, last_tried: tried, last_checked: Instant::now() }),
        })
    }

    /// The acceptor for a new connection, from the current files, give or take two seconds.
    pub(crate) async fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        if self.start_check_if_due(Instant::now()) {
            let certificates = self.clone();
            // If the reload fails, the previous configuration stays in use.
            let _ = tokio::task::spawn_blocking(move || certificates.reload_if_changed()).await;
        }
        TlsAcceptor::from(self.state().serving.clone())
    }

    /// Whether the files are due for a check; if so, records the check, so that only one caller performs it.
    fn start_check_if_due(&self, now: Instant) -> bool {
        let mut state = self.state();
        let due = now.saturating_duration_since(state.last_checked) >= CHECK_INTERVAL;
        if due {
            state.last_checked = now;
        }
        due
    }

    /// Reloads the files if they changed and are valid. Blocks.
    fn reload_if_changed(&self) {
        let files = PemFiles::read(&self.tls);
        let tried = files.as_ref().map(PemFiles::digest).map_err(String::clone);
        if self.state().last_tried == tried {
            return;
        }
        let loaded = files.and_then(|files| files.config(&self.tls));
        let mut state = self.state();
        state.last_tried = tried;
        match loaded {
            Ok(config) => {
                state.serving = config;
                tracing::info!(listener = %self.listener, "reloaded the certificates");
            }
            Err(why) => {
                tracing::warn!(listener = %self.listener, "failed to reload the certificates; still serving the previous ones: {why}");
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, CertificatesState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PemFiles {
    fn read(tls: &ListenerTls) -> Result<Self, String> {
        let client_ca = tls.client_ca.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(Self { certificate: read(&tls.certificate)?, key: read(&tls.key)?, client_ca })
    }

    fn digest(&self) -> [u8; 32] {
        let parts = [&self.certificate, &self.key, &self.client_ca];
        let all = parts
            .iter()
            .fold(Sha256::new(), |sum, part| sum.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
        all.finalize().into()
    }

    fn config(&self, tls: &ListenerTls) -> Result<Arc<ServerConfig>, String> {
        let chain = certificates(&self.certificate, &tls.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| unreadable_pem(&tls.key, "private key", &error))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| error.to_string())?;
        let builder = match self.verifier(tls, provider)? {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| mismatched_key(tls, &error))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn verifier(
        &self,
        tls: &ListenerTls,
        with: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
        let Some(path) = &tls.client_ca else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.client_ca, path)? {
            roots.add(root).map_err(|error| {
                format!("{} contains a certificate that cannot be used as an authority: {error}", path.display())
            })?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), with);
        let builder = match tls.client_auth {
            ClientAuth::None => return Ok(None),
            ClientAuth::Requested => builder.allow_unauthenticated(),
            ClientAuth::Required => builder,
        };
        builder.build().map(Some).map_err(|error| format!("{}: {error}", path.display()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        Ok(len) if len as u64 > MAX_FILE_BYTES => {
            Err(format!("{} is larger than 1 MiB; is it a PEM file?", path.display()))
        }
        Ok(_) => Ok(bytes),
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(unreadable_pem(path, "certificate", &pem::Error::NoItemsFound)),
        Ok(all) => Ok(all),
        Err(error) => Err(unreadable_pem(path, "certificate", &error)),
    }
}

fn unreadable_pem(path: &Path, what: &str, error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => {
            format!("{} contains no {what}; write a PEM file that contains one", path.display())
        }
        error => format!("{} contains no readable {what}: {error}", path.display()),
    }
}

fn mismatched_key(tls: &ListenerTls, error: &Error) -> String {
    let (certificate, key) = (tls.certificate.display(), tls.key.display());
    format!("the certificate in {certificate} and the key in {key} cannot be used together: {error}")
}

#[cfg(test)]
mod tests;
