//! Users, an issuer of tokens and a SCRAM client for tests, of this crate and of those that authenticate through it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::new_without_default,
    missing_docs,
    reason = "a helper of tests says what it expects with a panic"
)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, encode};
use serde_json::{Value, json};

use crate::credential::ScramCredential;
use crate::hash::ScramHash;
#[cfg(test)]
use crate::keys::VerificationKeys;
use crate::{Auth, AuthSettings, OAuthSettings, SaslMechanism, users};

/// Files and an issuer for tests, alice among the users with the password `secret`.
pub struct AuthFixture {
    pub dir: tempfile::TempDir,
    pub issuer: TestIssuer,
}

impl AuthFixture {
    pub fn new() -> Self {
        let registry = Self { dir: tempfile::tempdir().unwrap(), issuer: TestIssuer::new() };
        registry.put("alice", "secret");
        std::fs::write(registry.dir.path().join("keys.json"), registry.issuer.jwks()).unwrap();
        registry
    }

    pub fn put(&self, name: &str, password: &str) {
        let file = self.dir.path().join("users.toml");
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        let both = ScramHash::ALL.map(|hash| ScramCredential::from_password(hash, password, 4096).unwrap());
        users::edit::write(&file, &users::edit::set(&before, name, &both).unwrap()).unwrap();
    }

    /// Every mechanism, and failures at once.
    pub fn settings(&self) -> AuthSettings {
        use SaslMechanism::{OAuthBearer, Plain, ScramSha256, ScramSha512};
        AuthSettings {
            mechanisms: vec![Plain, ScramSha256, ScramSha512, OAuthBearer],
            users: Some(self.dir.path().join("users.toml")),
            oauth: Some(OAuthSettings { jwks: self.dir.path().join("keys.json"), ..requirements() }),
            max_session: None,
            failure_delay: Duration::ZERO,
        }
    }

    pub fn auth(&self) -> Arc<Auth> {
        Auth::new(self.settings()).unwrap()
    }

    /// OAUTHBEARER's first message with a token of alice's that is valid for `seconds` from now.
    pub fn bearer(&self, name: &str, seconds: i64) -> Vec<u8> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let exp = now.saturating_add_signed(seconds);
        self.bearer_with(&json!({"sub": name, "iss": "https://issuer", "aud": "barnabas", "exp": exp}))
    }

    pub(crate) fn bearer_with(&self, claims: &Value) -> Vec<u8> {
        format!("n,,\x01auth=Bearer {}\x01\x01", self.issuer.token(claims)).into_bytes()
    }
}

/// A SCRAM client.
pub struct ScramClient {
    hash: ScramHash,
    name: &'static str,
    password: &'static str,
}

impl ScramClient {
    pub fn new(mechanism: SaslMechanism, name: &'static str, password: &'static str) -> Self {
        Self { hash: mechanism.scram().unwrap(), name, password }
    }

    fn bare(&self) -> String {
        format!("n={},r=clientnonce", self.name)
    }

    pub fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.bare()).into_bytes()
    }

    /// The message with the proof, and the answer that only who has the credential can give.
    pub fn last(&self, challenge: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let challenge = std::str::from_utf8(challenge).unwrap();
        let fields: Vec<&str> = challenge.split(',').collect();
        assert!(fields[0].starts_with("r=clientnonce") && fields[0].len() > 40, "{challenge}");
        let salt = STANDARD.decode(fields[1].strip_prefix("s=").unwrap()).unwrap();
        let iterations = fields[2].strip_prefix("i=").unwrap().parse().unwrap();
        let hash = self.hash;
        let salted = hash.pbkdf2(self.password.as_bytes(), &salt, iterations);
        let unproven = format!("c=biws,{}", fields[0]);
        let message = format!("{},{challenge},{unproven}", self.bare());
        let key = hash.hmac(&salted, b"Client Key");
        let signature = hash.hmac(&hash.digest(&key), message.as_bytes());
        let proof: Vec<u8> = key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server = hash.hmac(&hash.hmac(&salted, b"Server Key"), message.as_bytes());
        let last = format!("{unproven},p={}", STANDARD.encode(proof));
        (last.into_bytes(), format!("v={}", STANDARD.encode(server)).into_bytes())
    }
}

/// Who issues tokens in tests, with an ES256 key of its own.
pub struct TestIssuer(pub(crate) rcgen::KeyPair);

impl TestIssuer {
    pub fn new() -> Self {
        Self(rcgen::KeyPair::generate().unwrap())
    }

    /// Its public key, under the id `k1`.
    pub fn jwks(&self) -> String {
        let (x, y) = self.0.public_key_raw()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        let ours = json!({"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256", "x": x, "y": y});
        // What nobody here can use is passed over.
        let others = [json!({"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}), json!({"kty": "future"}), json!(1)];
        let keys: Vec<Value> = others.into_iter().chain([ours]).collect();
        json!({"keys": keys}).to_string()
    }

    pub fn token(&self, claims: &Value) -> String {
        self.with_header(jsonwebtoken::Header { kid: Some("k1".into()), ..header() }, claims)
    }

    pub(crate) fn with_header(&self, header: jsonwebtoken::Header, claims: &Value) -> String {
        encode(&header, claims, &EncodingKey::from_ec_der(&self.0.serialize_der())).unwrap()
    }

    #[cfg(test)]
    pub(crate) fn keys(&self) -> VerificationKeys {
        VerificationKeys::read(std::path::Path::new("keys.json"), &self.jwks()).unwrap()
    }
}

pub(crate) fn header() -> jsonwebtoken::Header {
    jsonwebtoken::Header::new(Algorithm::ES256)
}

pub fn requirements() -> OAuthSettings {
    OAuthSettings {
        jwks: "keys.json".into(),
        issuer: "https://issuer".into(),
        audience: "barnabas".into(),
        principal_claim: "sub".into(),
    }
}
