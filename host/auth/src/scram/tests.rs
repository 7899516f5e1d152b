use super::*;
use crate::hash::ScramHash;

/// RFC 7677 §3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn credential() -> ScramCredential {
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    ScramCredential::derive(ScramHash::Sha256, "pencil", salt, 4096).unwrap()
}

fn challenged(first: &str, nonce: &str) -> (String, ScramChallenge) {
    ClientFirstMessage::read(first.as_bytes()).unwrap().challenge(credential(), nonce)
}

#[test]
fn the_example_of_the_rfc() {
    let (answer, challenged) = challenged(FIRST, SERVER_NONCE);
    assert_eq!(answer, CHALLENGE);
    assert_eq!(challenged.verify(FINAL.as_bytes()), Ok(("user".into(), SIGNATURE.into())));
}

#[test]
fn every_change_of_the_final_message_is_detected() {
    let with = |from: &str, to: &str| FINAL.replacen(from, to, 1);
    for (message, refused) in [
        (with("p=dH", "p=eH"), ScramRefusal::WrongProof),
        (with("p=dHzb", "p="), ScramRefusal::WrongProof),
        (with(",p=", ",x=1,p="), ScramRefusal::WrongProof),
        (with("c=biws", "c=eSws"), ScramRefusal::Malformed("its header is not that of the first message")),
        (with("k0,", "k1,"), ScramRefusal::Malformed("its nonce is not that of this exchange")),
        (with("p=dHzb", "p=!"), ScramRefusal::Malformed("its proof is not Base64")),
        (with(",p=", ",q="), ScramRefusal::Malformed("it has no proof")),
        ("r=x,p=".into(), ScramRefusal::Malformed("it has no header")),
    ] {
        assert_eq!(challenged(FIRST, SERVER_NONCE).1.verify(message.as_bytes()), Err(refused), "{message}");
    }
}

#[test]
fn a_replayed_proof_is_refused() {
    let (_, later) = challenged(FIRST, "another");
    assert_eq!(later.verify(FINAL.as_bytes()), Err(ScramRefusal::Malformed("its nonce is not that of this exchange")));
}

#[test]
fn first_messages_that_are_read() {
    for (text, name, header) in [
        ("n,,n=a=2Cb=3D,r=x", "a,b=", "n,,"),
        ("y,,n=a,r=x", "a", "y,,"),
        ("n,a=a,n=a,r=x", "a", "n,a=a,"),
        ("n,,n=a,r=x,tokenauth=true,y=z", "a", "n,,"),
    ] {
        let first = ClientFirstMessage::read(text.as_bytes()).unwrap();
        assert_eq!((first.name.as_str(), first.header, first.nonce), (name, header, "x"));
        assert_eq!(format!("{}{}", first.header, first.bare), text);
    }
}

#[test]
fn first_messages_that_are_refused() {
    for bad in [
        "",
        "n,,",
        "n,,n=a",
        "n,,r=x,n=a",
        "n,,n=,r=x",
        "n,,n=a,r=",
        "n,,n=a,r=\u{e4}",
        "n,,n=a=2,r=x",
        "n,,n=a=,r=x",
        "n,,m=x,n=a,r=x",
        "n,a=b,n=a,r=x",
        "n,b=a,n=a,r=x",
        "p=tls-unique,,n=a,r=x",
    ] {
        assert!(ClientFirstMessage::read(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(ClientFirstMessage::read(b"n,,n=\xff,r=x").is_err());
}

#[test]
fn the_length_of_a_nonce_is_obeyed() {
    assert!(ClientFirstMessage::read(format!("n,,n=a,r={}", "x".repeat(LONGEST_NONCE)).as_bytes()).is_ok());
}

#[test]
fn the_length_of_a_nonce_is_violated() {
    assert!(ClientFirstMessage::read(format!("n,,n=a,r={}", "x".repeat(LONGEST_NONCE + 1)).as_bytes()).is_err());
}
