//! A certificate authority for tests, and clients that trust it.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, DnValue, IsCa, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use super::super::{ClientAuth, ListenerTls};

/// Signs certificates.
pub(crate) struct TestAuthority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct SignedCertificate {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl TestAuthority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// For a server called `localhost`.
    pub(crate) fn server(&self) -> SignedCertificate {
        self.sign(CertificateParams::new(vec!["localhost".to_owned()]).unwrap())
    }

    /// A certificate for a client with this name, the least specific part first.
    pub(crate) fn client(&self, name: Vec<(DnType, DnValue)>) -> SignedCertificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        name.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value));
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> SignedCertificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &*self.0).unwrap();
        SignedCertificate { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A client that trusts this authority, and presents a certificate if it has one.
    pub(crate) fn trusted_by(&self, shows: Option<&SignedCertificate>) -> Arc<ClientConfig> {
        self.trusted_with(shows, &[&version::TLS12, &version::TLS13])
    }

    pub(crate) fn trusted_with(
        &self,
        shows: Option<&SignedCertificate>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match shows {
            None => builder.with_no_client_auth(),
            Some(signed) => {
                let chain = vec![CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }
}

/// A folder with a server's PEM files.
pub(crate) struct CertificateFolder(TempDir);

impl CertificateFolder {
    pub(crate) fn new(authority: &TestAuthority) -> Self {
        let folder = Self(TempDir::new().unwrap());
        folder.put(authority);
        folder
    }

    /// Writes a new certificate, and this authority as the one that signs clients' certificates.
    pub(crate) fn put(&self, authority: &TestAuthority) {
        let SignedCertificate { certificate, key } = authority.server();
        std::fs::write(self.path("cert.pem"), certificate).unwrap();
        std::fs::write(self.path("key.pem"), key).unwrap();
        std::fs::write(self.path("ca.pem"), authority.pem()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn tls(&self, client_auth: ClientAuth) -> ListenerTls {
        ListenerTls {
            certificate: self.path("cert.pem"),
            key: self.path("key.pem"),
            client_ca: (client_auth != ClientAuth::None).then(|| self.path("ca.pem")),
            client_auth,
        }
    }
}

/// `O=Example, OU=shop, CN=orders`, in the order of a certificate.
pub(crate) fn orders_name() -> Vec<(DnType, DnValue)> {
    let part = |kind, value: &str| (kind, DnValue::Utf8String(value.into()));
    vec![
        part(DnType::OrganizationName, "Example"),
        part(DnType::OrganizationalUnitName, "shop"),
        part(DnType::CommonName, "orders"),
    ]
}
