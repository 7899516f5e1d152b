//! A bearer token: a JWT (RFC 7519) that is signed with one of our keys, for us, by the right issuer, and in time.
//!
//! In: the token, keys, what must stand in it, and the time. Out: who it is and until when. Only signatures by RSA and
//! ECDSA count: `none` is no signature, and with HS256 a public key would be a secret.

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

/// By so much may the clocks of issuer and host differ.
const SKEW: Duration = Duration::from_secs(30);

/// What a good token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenSubject {
    pub(super) name: String,
    /// How long it still holds.
    pub(super) lifetime: Duration,
}

#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    kid: Option<String>,
    /// RFC 7515 §4.1.11: what one must understand to take it. We understand none.
    crit: Option<Value>,
}

/// Checks a token; why it does not hold completes the sentence "the token …".
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
        return Err("has critical header parameters, of which none is known here");
    }
    let algorithm = algorithm(&header.alg).ok_or("is not signed by RSA, P-256 or P-384")?;
    let signed = |key| verify(signature, message.as_bytes(), key, algorithm).unwrap_or(false);
    if !keys.candidates(header.kid.as_deref(), algorithm).any(signed) {
        return Err("is not signed with a key of the `jwks` file");
    }
    let claims: Map<String, Value> = json(claims).ok_or("has claims that are no JSON object")?;
    let lifetime = remaining_lifetime(&claims, now)?;
    if claims.get("iss").and_then(Value::as_str) != Some(&requirements.issuer) {
        return Err("is not of the configured issuer");
    }
    if !audience_matches(claims.get("aud"), &requirements.audience) {
        return Err("is not for the configured audience");
    }
    let name = claims.get(&requirements.principal_claim).and_then(Value::as_str);
    let name = name.filter(|name| check_name(name).is_ok()).ok_or("names nobody in the principal claim")?;
    Ok(TokenSubject { name: name.to_owned(), lifetime })
}

/// Those of RFC 7518 §3.1 that a public key can check.
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

/// How long it holds from now. One that is over within the skew holds for what is left of that.
fn remaining_lifetime(claims: &Map<String, Value>, now: SystemTime) -> Result<Duration, &'static str> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ends = time(claims.get("exp")).ok_or("does not say until when it holds (`exp`)")?;
    if now >= ends.saturating_add(SKEW) {
        return Err("has expired");
    }
    match claims.get("nbf") {
        None => {}
        from => {
            if time(from).ok_or("has an `nbf` that is no time")? > now + SKEW {
                return Err("does not hold yet");
            }
        }
    }
    Ok(if ends > now { ends - now } else { ends.saturating_add(SKEW) - now })
}

/// RFC 7519 §2, NumericDate: seconds, perhaps with a fraction.
fn time(claim: Option<&Value>) -> Option<Duration> {
    Duration::try_from_secs_f64(claim?.as_f64()?).ok()
}

/// RFC 7519 §4.1.3: one, or several.
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
