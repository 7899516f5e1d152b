use super::*;

const KEY: [u8; 32] = [7; 32];

fn users(text: &str) -> Result<Users, String> {
    Users::read(Path::new("users.toml"), text)
}

fn derived(hash: ScramHash) -> ScramCredential {
    ScramCredential::derive(hash, "secret", vec![1; 26], 4096).unwrap()
}

#[test]
fn kafkas_text_is_read_and_written() {
    for hash in ScramHash::ALL {
        let credential = derived(hash);
        let text = credential.to_string();
        assert!(text.starts_with("salt=AQEB") && text.ends_with(",iterations=4096"), "{text}");
        assert_eq!(ScramCredential::parse(hash, &text), Ok(credential.clone()));
        assert!(ScramCredential::parse(hash, &text).unwrap().verify_password("secret"));
        assert!(!credential.verify_password("Secret"));
        assert!(!format!("{credential:?}").contains("AQEB"));
    }
}

#[test]
fn invalid_credentials_are_refused() {
    let good = derived(ScramHash::Sha256).to_string();
    for (bad, why) in [
        ("", "is not of the form"),
        ("secret", "is not of the form"),
        (&format!("{good},more=1"), "is not of the form"),
        (&good.replace("stored_key", "server_key"), "is not of the form"),
        (&good.replace("salt=AQ", "salt=!"), "not Base64"),
        (&good.replace("iterations=4096", "iterations=x"), "not a number"),
        (&good.replace("salt=AQEB", "salt=").replace("AQEB", ""), "a salt of 2 bytes"),
    ] {
        let read = ScramCredential::parse(ScramHash::Sha256, bad);
        match read {
            Ok(short) => assert_eq!(short.salt.len(), 2, "only the last is none"),
            Err(error) => assert!(error.contains(why), "{bad}: {error}"),
        }
    }
    assert!(ScramCredential::parse(ScramHash::Sha512, &good).unwrap_err().contains("wrong length"));
}

#[test]
fn iterations_and_salts_are_obeyed() {
    for iterations in [4096, 16_384] {
        assert!(ScramCredential::derive(ScramHash::Sha256, "x", vec![1], iterations).is_ok());
    }
    let longest = ScramCredential::derive(ScramHash::Sha256, "x", vec![1; 64], 4096).unwrap();
    assert!(ScramCredential::parse(ScramHash::Sha256, &longest.to_string()).is_ok());
}

#[test]
fn iterations_and_salts_are_violated() {
    let good = derived(ScramHash::Sha256).to_string();
    for iterations in [0, 4095, 16_385, u32::MAX] {
        assert!(
            ScramCredential::derive(ScramHash::Sha256, "x", vec![1], iterations).unwrap_err().contains("4096 to 16384")
        );
        let text = good.replace("4096", &iterations.to_string());
        assert!(ScramCredential::parse(ScramHash::Sha256, &text).unwrap_err().contains("4096 to 16384"));
    }
    for salt in [0, 65] {
        let text = ScramCredential::derive(ScramHash::Sha256, "x", vec![1; salt], 4096).unwrap().to_string();
        assert!(ScramCredential::parse(ScramHash::Sha256, &text).unwrap_err().contains("1 to 64"));
    }
}

#[test]
fn a_broken_file_is_named_with_the_line_and_without_its_secrets() {
    let credential = derived(ScramHash::Sha512);
    let text = format!("[users.alice]\nscram-sha-512 = \"{credential}\"\nscram-sha-256 = \"{credential}\"\n");
    let error = users(&text).unwrap_err();
    assert!(error.starts_with("users.toml:3: `scram-sha-256` has keys of the wrong length"), "{error}");
    assert!(!error.contains("AQEB"), "{error}");
    assert!(users("[users.alice]\npassword = \"x\"").unwrap_err().contains("users.toml:2: unknown field"));
    assert!(users("[users.alice]").unwrap_err().contains("user `alice` has no credential"));
    let nameless = format!("[users.\"\"]\nscram-sha-512 = \"{credential}\"");
    assert!(users(&nameless).unwrap_err().contains("cannot be a user's name"));
    assert_eq!(users("").unwrap().iter().count(), 0);
}

#[test]
fn an_unknown_user_looks_like_a_known_one() {
    let credential = ScramCredential::derive(ScramHash::Sha256, "secret", vec![1; 26], 5000).unwrap();
    let users = users(&format!("[users.alice]\nscram-sha-256 = \"{credential}\"")).unwrap();
    let ask = |name: &str, hash| users.credential(name, hash, &KEY);
    assert_eq!(ask("alice", Some(ScramHash::Sha256)), credential);
    let nobody = ask("bob", Some(ScramHash::Sha256));
    assert_eq!((nobody.salt.len(), nobody.iterations, nobody.hash()), (26, 5000, ScramHash::Sha256));
    assert_eq!(nobody, ask("bob", Some(ScramHash::Sha256)), "the same every time");
    assert_ne!(nobody.salt, ask("bill", Some(ScramHash::Sha256)).salt);
    assert_ne!(
        nobody.salt,
        users.credential("bob", Some(ScramHash::Sha256), &[8; 32]).salt,
        "it depends on the secret"
    );
    assert!(!nobody.verify_password("secret") && !nobody.verify_proof(&[0; 32], b""));
    assert_eq!(ask("alice", None), credential, "for PLAIN, whichever exists");
    assert_eq!(ask("bob", None).hash(), ScramHash::Sha256, "which costs as much");
    let other = ask("alice", Some(ScramHash::Sha512));
    assert_eq!((other.hash(), other.salt.len(), other.iterations), (ScramHash::Sha512, 24, DEFAULT_ITERATIONS));
    assert!(!other.verify_password("secret"));
}
