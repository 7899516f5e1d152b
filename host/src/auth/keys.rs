//! Public keys of those who issue tokens: a JWK set (RFC 7517) in a file.
//!
//! In: its text. Out: keys by what they can check. Symmetric keys are no keys here: who can check with one can also
//! sign. Bounded: 1 MiB and 100 keys.

use std::path::Path;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::watched::Kind;

/// How the file is read while the host runs.
pub(super) const FILE: Kind<Keys> = Kind {
    what: "file of keys",
    most: 1 << 20,
    private: false,
    remedy: "save what your issuer serves as its `jwks_uri` there",
    read: Keys::read,
};

const MOST: usize = 100;

/// Keys of issuers.
pub(super) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    /// What it is for, where the set says so.
    algorithm: Option<String>,
    family: Family,
    key: DecodingKey,
}

/// Which algorithms a key can be used with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// An error is one sentence that names the file.
    pub(super) fn read(path: &Path, text: &str) -> Result<Self, String> {
        let refuse = |why: String| format!("{}: {why}", path.display());
        let set: Set = serde_json::from_str(text)
            .map_err(|error| refuse(format!("this is no JWK set, {{\"keys\": […]}}: {error}")))?;
        if set.keys.len() > MOST {
            return Err(refuse(format!("{} keys; leave at most {MOST}", set.keys.len())));
        }
        // RFC 7517 §5: keys of a kind that one does not know are passed over.
        let keys: Vec<Key> = set.keys.into_iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(refuse(
                "no key for signatures by RSA, P-256 or P-384 is in it; save your issuer's keys".into(),
            ));
        }
        Ok(Self(keys))
    }

    /// The keys that may have signed this, by what the token says of it.
    pub(super) fn of(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let (family, name) = (Family::of(algorithm), format!("{algorithm:?}"));
        let fits = move |key: &&Key| {
            Some(key.family) == family
                && key.algorithm.as_ref().is_none_or(|own| *own == name)
                && id.is_none_or(|id| key.id.as_deref() == Some(id))
        };
        self.0.iter().filter(fits).map(|key| &key.key)
    }
}

impl Family {
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Some(Self::Rsa),
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Some(Self::Rsa),
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            _ => None,
        }
    }
}

fn key(written: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(written).ok()?;
    let family = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Family::Rsa,
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => Family::P256,
            EllipticCurve::P384 => Family::P384,
            _ => return None,
        },
        _ => return None,
    };
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithm = common.key_algorithm.map(|algorithm| algorithm.to_string());
    Some(Key { id: common.key_id.clone(), algorithm, family, key: DecodingKey::from_jwk(&jwk).ok()? })
}
