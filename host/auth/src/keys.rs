//! Public keys of token issuers: a JWK set (RFC 7517) in a file.
//!
//! In: its text. Out: keys, selected by what they can verify. Symmetric keys are ignored: a key that verifies with them
//! can also sign. Bounded: 1 MiB and 100 keys.

use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::watched_file::FileKind;

/// How the file is read while the host runs.
pub(super) const FILE: FileKind<VerificationKeys> = FileKind {
    what: "JWK set file",
    max_bytes: 1 << 20,
    private: false,
    remedy: "save the content of your issuer's `jwks_uri` there",
    read: VerificationKeys::read,
};

const MAX_KEYS: usize = 100;

/// The keys of the issuers.
pub(super) struct VerificationKeys(Vec<VerificationKey>);

struct VerificationKey {
    id: Option<String>,
    /// The algorithm that it is for, if the set specifies one.
    algorithm: Option<String>,
    family: KeyFamily,
    key: DecodingKey,
}

/// The algorithms that a key can be used with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyFamily {
    Rsa,
    P256,
    P384,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

impl VerificationKeys {
    /// The error is one sentence that names the file.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, String> {
        let refuse = |why: String| format!("{}: {why}", path.display());
        let set: JwkSet = serde_json::from_str(text)
            .map_err(|error| refuse(format!("this is not a JWK set, {{\"keys\": […]}}: {error}")))?;
        if set.keys.len() > MAX_KEYS {
            return Err(refuse(format!("{} keys; leave at most {MAX_KEYS}", set.keys.len())));
        }
        // RFC 7517 §5: keys of an unknown kind are ignored.
        let keys: Vec<VerificationKey> = set.keys.into_iter().filter_map(usable_key).collect();
        if keys.is_empty() {
            return Err(refuse("no key for RSA, P-256 or P-384 signatures; save your issuer's keys".into()));
        }
        Ok(Self(keys))
    }

    /// The keys that may have signed this token, by its header.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let (family, name) = (KeyFamily::for_algorithm(algorithm), format!("{algorithm:?}"));
        let fits = move |key: &&VerificationKey| {
            Some(key.family) == family
                && key.algorithm.as_ref().is_none_or(|own| *own == name)
                && id.is_none_or(|id| key.id.as_deref() == Some(id))
        };
        self.0.iter().filter(fits).map(|key| &key.key)
    }
}

impl KeyFamily {
    fn for_algorithm(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Some(Self::Rsa),
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Some(Self::Rsa),
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            _ => None,
        }
    }
}

fn usable_key(value: Value) -> Option<VerificationKey> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let family = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => KeyFamily::Rsa,
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => KeyFamily::P256,
            EllipticCurve::P384 => KeyFamily::P384,
            _ => return None,
        },
        _ => return None,
    };
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = common.key_algorithm.map(|algorithm| algorithm.to_string());
    Some(VerificationKey { id: common.key_id.clone(), algorithm, family, key: DecodingKey::from_jwk(&jwk).ok()? })
}
