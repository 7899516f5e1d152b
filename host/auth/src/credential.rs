//! The stored form of a password for SCRAM, in Kafka's text format.
//!
//! `salt=…,stored_key=…,server_key=…,iterations=…`, bytes in Base64: what `kafka-configs --describe` prints of a user.
//! It allows checking a password, but finding one requires guessing.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash::{ScramHash, constant_time_eq};

/// Kafka's range (`ScramMechanism`): with fewer, passwords are too fast to guess, and the maximum bounds the cost of a
/// login.
pub const ITERATIONS: std::ops::RangeInclusive<u32> = 4_096..=16_384;
/// The default.
pub const DEFAULT_ITERATIONS: u32 = 8_192;
/// The most bytes of a salt; Kafka's own have 26.
pub(crate) const MAX_SALT: usize = 64;
/// The bytes of generated salts.
const SALT: usize = 24;

/// The credential of one user for one hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    hash: ScramHash,
    pub(super) salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
    pub(super) iterations: u32,
}

impl ScramCredential {
    /// Derives a credential from a password, with a new salt. Takes milliseconds. The error is a sentence about
    /// iterations outside of [`ITERATIONS`].
    pub fn from_password(hash: ScramHash, password: &str, iterations: u32) -> Result<Self, String> {
        let mut salt = vec![0; SALT];
        getrandom::fill(&mut salt).map_err(|error| format!("no random bytes are to be had: {error}"))?;
        Self::derive(hash, password, salt, iterations)
    }

    pub(crate) fn derive(hash: ScramHash, password: &str, salt: Vec<u8>, iterations: u32) -> Result<Self, String> {
        check_iterations(iterations)?;
        let (client_key, server_key) = keys(hash, password, &salt, iterations);
        Ok(Self { hash, salt, stored_key: hash.digest(&client_key), server_key, iterations })
    }

    /// For an unknown user: no password and no proof matches it, and checking one costs as much.
    pub(super) fn unmatchable(hash: ScramHash, salt: Vec<u8>, iterations: u32) -> Self {
        // Zeros have no known preimage.
        Self { hash, salt, stored_key: vec![0; hash.size()], server_key: vec![0; hash.size()], iterations }
    }

    /// Parses Kafka's text format. The error is half a sentence and repeats nothing of the text.
    pub fn parse(hash: ScramHash, text: &str) -> Result<Self, String> {
        let field = |name: &str| {
            let mut all = text.split(',').filter_map(|part| part.split_once('=')).filter(|(key, _)| *key == name);
            match (all.next(), all.next(), text.split(',').count()) {
                (Some((_, value)), None, 4) => Ok(value),
                _ => Err("is not of the form salt=…,stored_key=…,server_key=…,iterations=…".to_owned()),
            }
        };
        let bytes = |name: &str| {
            STANDARD.decode(field(name)?).map_err(|_| format!("has a {name} that is not Base64; copy the whole value"))
        };
        let (salt, stored_key, server_key) = (bytes("salt")?, bytes("stored_key")?, bytes("server_key")?);
        let iterations = field("iterations")?.parse().map_err(|_| "has an iteration count that is not a number")?;
        check_iterations(iterations)?;
        if salt.is_empty() || salt.len() > MAX_SALT {
            return Err(format!("has a salt of {} bytes; it must have 1 to {MAX_SALT}", salt.len()));
        }
        if stored_key.len() != hash.size() || server_key.len() != hash.size() {
            return Err(format!("has keys of the wrong length: those of {} have {} bytes", hash.key(), hash.size()));
        }
        Ok(Self { hash, salt, stored_key, server_key, iterations })
    }

    /// The hash.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// How often the password is hashed.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// Whether this is the password. Takes milliseconds.
    pub(crate) fn verify_password(&self, password: &str) -> bool {
        let (client_key, _) = keys(self.hash, password, &self.salt, self.iterations);
        constant_time_eq(&self.hash.digest(&client_key), &self.stored_key)
    }

    /// Whether a client that signed `message` knows the password (RFC 5802 §3).
    pub(crate) fn verify_proof(&self, proof: &[u8], message: &[u8]) -> bool {
        let signature = self.hash.hmac(&self.stored_key, message);
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        proof.len() == signature.len() && constant_time_eq(&self.hash.digest(&client_key), &self.stored_key)
    }

    /// Proves to the client that the server has its credential.
    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        self.hash.hmac(&self.server_key, message)
    }
}

/// ClientKey and ServerKey of RFC 5802 §3.
fn keys(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> (Vec<u8>, Vec<u8>) {
    let salted = hash.pbkdf2(password.as_bytes(), salt, iterations);
    (hash.hmac(&salted, b"Client Key"), hash.hmac(&salted, b"Server Key"))
}

fn check_iterations(iterations: u32) -> Result<(), String> {
    if ITERATIONS.contains(&iterations) {
        return Ok(());
    }
    Err(format!("has {iterations} iterations; Kafka allows {} to {}", ITERATIONS.start(), ITERATIONS.end()))
}

impl fmt::Display for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] = [&self.salt, &self.stored_key, &self.server_key].map(|b| STANDARD.encode(b));
        write!(f, "salt={salt},stored_key={stored},server_key={server},iterations={}", self.iterations)
    }
}

impl fmt::Debug for ScramCredential {
    /// Without anything that helps guessing the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("hash", &self.hash).finish_non_exhaustive()
    }
}
