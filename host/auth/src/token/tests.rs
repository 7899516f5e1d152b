use std::path::Path;

use jsonwebtoken::{EncodingKey, encode};
use serde_json::json;

use super::*;
use crate::testing::{TestIssuer, header, requirements};

const NOW: u64 = 2_000_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

/// The claims of a valid token, with another value for one claim; null removes it.
fn claims(key: &str, value: Value) -> Value {
    let mut claims = json!({"sub": "alice", "iss": "https://issuer", "aud": ["x", "barnabas"], "exp": NOW + 60});
    claims[key] = value;
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn checked(issuer: &TestIssuer, token: &str) -> Result<TokenSubject, &'static str> {
    check(token, &issuer.keys(), &requirements(), now())
}

#[test]
fn a_good_token_names_its_subject() {
    let issuer = TestIssuer::new();
    let holder = |seconds| Ok(TokenSubject { name: "alice".into(), lifetime: Duration::from_secs(seconds) });
    for (key, value, life) in [
        ("x", json!(1), 60),
        ("aud", json!("barnabas"), 60),
        ("exp", json!(NOW as f64 + 1.0), 1),
        ("exp", json!(NOW), 30),
        ("exp", json!(NOW - 29), 1),
        ("nbf", json!(NOW + 30), 60),
    ] {
        let token = issuer.token(&claims(key, value));
        assert_eq!(checked(&issuer, &token), holder(life), "{key}");
    }
    let without_id = issuer.with_header(header(), &claims("x", json!(1)));
    assert_eq!(checked(&issuer, &without_id), holder(60));
}

#[test]
fn claims_that_do_not_fit() {
    let issuer = TestIssuer::new();
    for (key, value, why) in [
        ("exp", json!(NOW - 30), "has expired"),
        ("exp", json!(null), "no expiry time"),
        ("exp", json!("2000000060"), "no expiry time"),
        ("exp", json!(-1), "no expiry time"),
        ("nbf", json!(NOW + 31), "not valid yet"),
        ("nbf", json!("soon"), "not a time"),
        ("iss", json!("https://other"), "issuer"),
        ("iss", json!(null), "issuer"),
        ("aud", json!("other"), "audience"),
        ("aud", json!(["other"]), "audience"),
        ("aud", json!(null), "audience"),
        ("sub", json!(null), "no valid user name"),
        ("sub", json!(""), "no valid user name"),
        ("sub", json!(7), "no valid user name"),
        ("sub", json!("a\nb"), "no valid user name"),
    ] {
        let refused = checked(&issuer, &issuer.token(&claims(key, value))).unwrap_err();
        assert!(refused.contains(why), "{key}: {refused}");
    }
}

#[test]
fn signatures_that_prove_nothing() {
    let issuer = TestIssuer::new();
    let good = claims("x", json!(1));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(&json!({"alg": "none"})), part(&good));
    assert_eq!(checked(&issuer, &none), Err("is not signed with RSA, P-256 or P-384"));

    // With the public key as the secret.
    for secret in
        [issuer.0.public_key_raw().to_vec(), issuer.0.public_key_pem().into_bytes(), issuer.jwks().into_bytes()]
    {
        let header = jsonwebtoken::Header { kid: Some("k1".into()), ..jsonwebtoken::Header::new(Algorithm::HS256) };
        let token = encode(&header, &good, &EncodingKey::from_secret(&secret)).unwrap();
        assert_eq!(checked(&issuer, &token), Err("is not signed with RSA, P-256 or P-384"));
    }
    let not_ours = Err("is not signed with a key of the `jwks` file");
    assert_eq!(checked(&issuer, &TestIssuer::new().token(&good)), not_ours);
    let other_id = jsonwebtoken::Header { kid: Some("k2".into()), ..header() };
    assert_eq!(checked(&issuer, &issuer.with_header(other_id, &good)), not_ours);

    let token = issuer.token(&good);
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let other = format!("{head}.{}.{signature}", part(&claims("sub", json!("root"))));
    assert_eq!(checked(&issuer, &other), not_ours);
    for algorithm in ["ES384", "RS256", "PS256"] {
        let other = format!("{}.{}.{signature}", part(&json!({"alg": algorithm})), part(&good));
        assert_eq!(checked(&issuer, &other), not_ours, "{algorithm}");
    }
    let critical = format!("{}.{}.{signature}", part(&json!({"alg": "ES256", "crit": ["b64"]})), part(&good));
    assert!(checked(&issuer, &critical).unwrap_err().contains("critical"));
    for nonsense in ["", ".", "..", "a.b.c", head, message, "\u{e4}.\u{e4}.\u{e4}"] {
        assert_eq!(checked(&issuer, nonsense), Err("is not a signed JWT"), "{nonsense:?}");
    }
}

/// RFC 7515 A.2: signed with RSA, and for another audience.
#[test]
fn rsa_is_checked() {
    const KEY: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4Ql\
L-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEM\
a2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h\
4FRWyuXpoQ";
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmN\
vbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj\
Gbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn\
6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGl\
UPQGe77Rw";
    let set = |more: &str| format!(r#"{{"keys": [{{"kty": "RSA", "n": "{KEY}", "e": "AQAB"{more}}}]}}"#);
    let keys = |text: &str| VerificationKeys::read(Path::new("keys.json"), text);
    let wanted = OAuthSettings { issuer: "joe".into(), ..requirements() };
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_300_819_000);
    let check = |keys: &VerificationKeys| check(TOKEN, keys, &wanted, at).unwrap_err();
    assert_eq!(check(&keys(&set("")).unwrap()), "is not for the configured audience", "the signature was good");
    for other in [r#","alg":"RS512""#, r#","alg":"PS256""#] {
        assert_eq!(check(&keys(&set(other)).unwrap()), "is not signed with a key of the `jwks` file");
    }
    for useless in [set(r#","use":"enc""#), r#"{"keys": []}"#.into()] {
        assert!(keys(&useless).err().unwrap().contains("keys.json: no key for RSA"));
    }
    assert!(keys("[]").err().unwrap().contains("not a JWK set"));
}

#[test]
fn the_number_of_keys_is_obeyed() {
    let issuer = TestIssuer::new();
    let set: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    let ours = set["keys"].as_array().unwrap().last().unwrap();
    let text = json!({"keys": vec![ours; 100]}).to_string();
    assert!(VerificationKeys::read(Path::new("keys.json"), &text).is_ok());
}

#[test]
fn the_number_of_keys_is_violated() {
    let text = json!({"keys": vec![1; 101]}).to_string();
    assert!(
        VerificationKeys::read(Path::new("keys.json"), &text).err().unwrap().contains("101 keys; leave at most 100")
    );
}
