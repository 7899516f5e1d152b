//! Bearer tokens: a JWT (RFC 7519) that is signed with a known key, for the right audience, by the right issuer, and
//! not expired.
//!
//! In: the token, keys, the required claims, and the time. Out: the user and the lifetime. Only RSA and ECDSA
//! signatures count: `none` is no signature, and with HS256 a public key would be used as a secret.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::verify;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::VerificationKeys;
use super::settings::OAuthSettings;
use super::users::check_name;

/// The largest difference between the clocks of issuer and host.
const SKEW: Duration = Duration::from_secs(30);

/// The result of a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenSubject {
    pub(super) name: String,
    /// How long it is still valid.
    pub(super) lifetime: Duration,
}

#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    kid: Option<String>,
    /// RFC 7515 §4.1.11: parameters that must be understood. None are supported here.
    crit: Option<Value>,
}

/// Validates a token; the error completes the sentence "the token …".
pub(super) fn check(
    token: &str,
    keys: &VerificationKeys,
    requirements: &OAuthSettings,
    now: SystemTime,
) -> Result<TokenSubject, &'static str> {
    let malformed = "is not a signed JWT";
    let (message, signature) = token.rsplit_once('.').ok_or(malformed)?;
    let (header, claims) = message.split_once('.').ok_or(malformed)?;
    let header: JwtHeader = json(header).ok_or(malformed)?;
    if header.crit.is_some() {
        return Err("has critical header parameters, of which none is supported");
    }
    let algorithm = algorithm(&header.alg).ok_or("is not signed with RSA, P-256 or P-384")?;
    let signed = |key| verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false);
    if !keys.candidates(header.kid.as_deref(), algorithm).any(signed) {
        return Err("is not signed with a key of the `jwks` file");
    }
    let claims: Map<String, Value> = json(claims).ok_or("has claims that are not a JSON object")?;
    let lifetime = remaining_lifetime(&claims, now)?;
    if claims.get("iss").and_then(Value::as_str) != Some(&requirements.issuer) {
        return Err("is not from the configured issuer");
    }
    if !audience_matches(claims.get("aud"), &requirements.audience) {
        return Err("is not for the configured audience");
    }
    let name = claims.get(&requirements.principal_claim).and_then(Value::as_str);
    let name = name.filter(|name| check_name(name).is_ok()).ok_or("has no valid user name in the principal claim")?;
    Ok(TokenSubject { name: name.to_owned(), lifetime })
}

/// The algorithms of RFC 7518 §3.1 that a public key can verify.
fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        _ => return None,
    })
}

/// How long it is valid from now. A token that expired within the clock skew is valid for the rest of it.
fn remaining_lifetime(claims: &Map<String, Value>, now: SystemTime) -> Result<Duration, &'static str> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ends = time(claims.get("exp")).ok_or("has no expiry time (`exp`)")?;
    if now >= ends.saturating_add(SKEW) {
        return Err("has expired");
    }
    match claims.get("nbf") {
        None => {}
        from => {
            if time(from).ok_or("has an `nbf` that is not a time")? > now + SKEW {
                return Err("is not valid yet");
            }
        }
    }
    Ok(if ends > now { ends - now } else { ends.saturating_add(SKEW) - now })
}

/// RFC 7519 §2, NumericDate: seconds, possibly with a fraction.
fn time(claim: Option<&Value>) -> Option<Duration> {
    Duration::try_from_secs_f64(claim?.as_f64()?).ok()
}

/// RFC 7519 §4.1.3: one audience, or several.
fn audience_matches(claim: Option<&Value>, audience: &str) -> bool {
    match claim {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    }
}

fn json<T: for<'de> Deserialize<'de>>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
pub(super) mod tests;
