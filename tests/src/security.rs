//! Listeners that require authentication: certificates, users, and the matching client settings.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use barnabas::config::raw::{ListenerProtocol, RawClientAuth, RawConfig, RawTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// Certificates of one authority and a users file, all in one folder.
pub struct Realm {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Realm {
    /// Creates the certificates of the authority and of the listener.
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "tests");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let realm = Self { folder: folder.to_owned(), authority };
        std::fs::write(realm.authorities(), realm.authority.pem()).unwrap();
        realm.issue("listener");
        realm
    }

    /// The certificate of the authority.
    pub fn authorities(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// A certificate for 127.0.0.1 with this common name; returns the files with the certificate, the key, and both.
    pub fn issue(&self, name: &str) -> [PathBuf; 3] {
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let files = ["cert", "key", "both"].map(|part| self.folder.join(format!("{name}.{part}.pem")));
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        for (file, text) in files.iter().zip([certificate.clone(), key.clone(), format!("{key}{certificate}")]) {
            std::fs::write(file, text).unwrap();
        }
        files
    }

    /// Adds a user whose password is `{name}-secret`.
    pub fn user(&self, name: &str) {
        let mut set = Command::new(crate::command::path());
        set.args(["user", "set", name, "--password-file", "-", "--file"]).arg(self.folder.join("users.toml"));
        let mut set = set.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        set.stdin.take().unwrap().write_all(format!("{name}-secret\n").as_bytes()).unwrap();
        assert!(set.wait().unwrap().success());
    }

    /// Makes the first listener require SASL over TLS.
    pub fn sasl_over_tls(&self, written: &mut RawConfig) {
        let sasl = serde_json::json!({
            "mechanisms": ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"], "users": self.folder.join("users.toml"),
        });
        let listener = &mut written.listeners[0];
        listener.protocol = ListenerProtocol::KafkaSaslTls;
        listener.sasl = Some(serde_json::from_value(sasl).unwrap());
        listener.tls = Some(self.tls(RawClientAuth::None));
    }

    /// Makes the first listener require TLS client certificates.
    pub fn mutual_tls(&self, written: &mut RawConfig) {
        let listener = &mut written.listeners[0];
        listener.protocol = ListenerProtocol::KafkaTls;
        listener.tls = Some(self.tls(RawClientAuth::Required));
    }

    fn tls(&self, client_auth: RawClientAuth) -> RawTls {
        let [certificate, key] = ["cert", "key"].map(|part| self.folder.join(format!("listener.{part}.pem")));
        let client_ca = (client_auth == RawClientAuth::Required).then(|| self.authorities());
        RawTls { certificate, key, client_ca, client_auth: Some(client_auth) }
    }

    /// Kafka client settings for a user and a mechanism.
    pub fn settings(&self, name: &str, mechanism: &str) -> Vec<(&'static str, String)> {
        let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
        let jaas = format!(
            "org.apache.kafka.common.security.{module} required username=\"{name}\" password=\"{name}-secret\";"
        );
        let mut settings = self.trusting("SASL_SSL");
        settings.extend([("sasl.mechanism", mechanism.to_owned()), ("sasl.jaas.config", jaas)]);
        settings
    }

    /// Kafka client settings for a certificate with this name.
    pub fn certified(&self, name: &str) -> Vec<(&'static str, String)> {
        let [.., both] = self.issue(name);
        let mut settings = self.trusting("SSL");
        settings.extend([("ssl.keystore.type", "PEM".into()), ("ssl.keystore.location", both.display().to_string())]);
        settings
    }

    fn trusting(&self, protocol: &str) -> Vec<(&'static str, String)> {
        vec![
            ("security.protocol", protocol.to_owned()),
            ("ssl.truststore.type", "PEM".into()),
            ("ssl.truststore.location", self.authorities().display().to_string()),
        ]
    }

    /// The same settings as a properties file.
    pub fn properties(&self, name: &str, mechanism: &str) -> PathBuf {
        let lines = self.settings(name, mechanism).into_iter().map(|(key, value)| format!("{key}={value}\n"));
        let file = self.folder.join(format!("{name}-{mechanism}.properties"));
        std::fs::write(&file, lines.collect::<String>()).unwrap();
        file
    }
}
