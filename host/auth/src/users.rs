//! The users file: names and SCRAM credentials, never a password.
//!
//! ```toml
//! [users.alice]
//! scram-sha-512 = "salt=…,stored_key=…,server_key=…,iterations=8192"
//! ```
//!
//! In: its text. Out: a credential for every name, even for an unknown one. Bounded: 4 MiB.

pub mod edit;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Deserializer};

use super::credential::{DEFAULT_ITERATIONS, ScramCredential};
use super::hash::ScramHash;
use super::watched_file::FileKind;
use barnabas_base::messages;

/// How the file is read while the host runs.
pub(super) const FILE: FileKind<Users> = FileKind {
    what: "users file",
    max_bytes: 4 << 20,
    private: true,
    remedy: "create it with `barnabas user set NAME --file FILE`",
    read: Users::read,
};

/// The most bytes of a name.
const MAX_NAME_BYTES: usize = 255;

/// All users that may authenticate with a password.
#[derive(Debug, Default)]
pub struct Users(BTreeMap<String, UserCredentials>);

/// The credentials of one user.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserCredentials {
    #[serde(default, rename = "scram-sha-256", deserialize_with = "sha_256")]
    sha_256: Option<ScramCredential>,
    #[serde(default, rename = "scram-sha-512", deserialize_with = "sha_512")]
    sha_512: Option<ScramCredential>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersFile {
    #[serde(default)]
    users: BTreeMap<String, UserCredentials>,
}

impl Users {
    /// Parses the text of `path`. The error is one sentence that names the file, and the line if there is one.
    pub fn read(path: &Path, text: &str) -> Result<Self, String> {
        let written: UsersFile = messages::parse_toml(path, text).map_err(|error| error.to_string())?;
        for (name, user) in &written.users {
            check_name(name).map_err(|why| format!("{}: {why}", path.display()))?;
            if user.credential(None).is_none() {
                return Err(format!(
                    "{}: user `{name}` has no credential; add one with `barnabas user set {name}`, or remove the user",
                    path.display()
                ));
            }
        }
        Ok(Self(written.users))
    }

    /// Names and credentials, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Vec<&ScramCredential>)> {
        self.0.iter().map(|(name, user)| (name.as_str(), user.sha_256.iter().chain(&user.sha_512).collect()))
    }

    /// The credential of this user, or for an unknown user one that looks similar and matches nothing. The steps are
    /// the same. `hash` is the hash that must be used, if any.
    pub(crate) fn credential(&self, name: &str, hash: Option<ScramHash>, key: &[u8; 32]) -> ScramCredential {
        let nobody = self.for_unknown_user(name, hash, key);
        self.0.get(name).and_then(|user| user.credential(hash)).cloned().unwrap_or(nobody)
    }

    /// The same credential for the same name as long as the host runs: a salt that changed would reveal that there is
    /// no such user. It looks like the credential of an existing user.
    fn for_unknown_user(&self, name: &str, hash: Option<ScramHash>, key: &[u8; 32]) -> ScramCredential {
        let mut salt = ScramHash::Sha512.hmac(key, name.as_bytes());
        let chance = salt.iter().rev().take(7).fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let known = || self.0.values().filter_map(|user| user.credential(hash));
        let alike = chance.checked_rem(known().count()).and_then(|nth| known().nth(nth));
        salt.truncate(alike.map_or(24, |alike| alike.salt.len()));
        let iterations = alike.map_or(DEFAULT_ITERATIONS, |alike| alike.iterations);
        ScramCredential::unmatchable(
            alike.map(ScramCredential::hash).or(hash).unwrap_or(ScramHash::Sha512),
            salt,
            iterations,
        )
    }
}

impl UserCredentials {
    fn credential(&self, hash: Option<ScramHash>) -> Option<&ScramCredential> {
        match hash {
            Some(ScramHash::Sha256) => self.sha_256.as_ref(),
            Some(ScramHash::Sha512) => self.sha_512.as_ref(),
            None => self.sha_512.as_ref().or(self.sha_256.as_ref()),
        }
    }
}

/// Validates the name of a user; the error is one sentence.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(format!(
            "{name:?} cannot be a user's name: write 1 to {MAX_NAME_BYTES} bytes, no control characters"
        ));
    }
    Ok(())
}

fn sha_256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ScramCredential>, D::Error> {
    credential(ScramHash::Sha256, deserializer)
}

fn sha_512<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ScramCredential>, D::Error> {
    credential(ScramHash::Sha512, deserializer)
}

fn credential<'de, D: Deserializer<'de>>(
    hash: ScramHash,
    deserializer: D,
) -> Result<Option<ScramCredential>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let credential = ScramCredential::parse(hash, &text);
    credential.map(Some).map_err(|why| serde::de::Error::custom(format_args!("`{}` {why}", hash.key())))
}

#[cfg(test)]
mod tests;
