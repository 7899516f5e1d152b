//! Compared with what `X500Principal.getName()` returns.

use rcgen::{DnType, DnValue};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::super::super::tests::authority::{TestAuthority, orders_name};
use super::*;

fn principal_of(name: Vec<(DnType, DnValue)>) -> String {
    let signed = TestAuthority::new().client(name);
    let der = CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap();
    principal(&der).unwrap().to_string()
}

fn common(name: &str) -> Vec<(DnType, DnValue)> {
    vec![(DnType::CommonName, DnValue::Utf8String(name.into()))]
}

#[test]
fn the_most_specific_part_comes_first() {
    assert_eq!(principal_of(orders_name()), "User:CN=orders,OU=shop,O=Example");
    assert_eq!(principal_of(Vec::new()), "User:");
}

#[test]
fn every_short_name_of_the_rfc() {
    let custom = |oid: &[u64], value: &str| (DnType::from_oid(oid), DnValue::Utf8String(value.into()));
    let name = vec![
        custom(&[0, 9, 2342, 19200300, 100, 1, 25], "example"),
        custom(&[2, 5, 4, 6], "DE"),
        custom(&[2, 5, 4, 8], "Berlin"),
        custom(&[2, 5, 4, 7], "Mitte"),
        custom(&[2, 5, 4, 9], "Weg 1"),
        custom(&[2, 5, 4, 10], "Example"),
        custom(&[2, 5, 4, 11], "shop"),
        custom(&[0, 9, 2342, 19200300, 100, 1, 1], "orders-1"),
        custom(&[2, 5, 4, 3], "orders"),
    ];
    assert_eq!(
        principal_of(name),
        "User:CN=orders,UID=orders-1,OU=shop,O=Example,STREET=Weg 1,L=Mitte,ST=Berlin,C=DE,DC=example"
    );
}

#[test]
fn what_the_rfc_escapes_is_escaped() {
    for (name, written) in [
        ("a,b", r"a\,b"),
        (r#"+"\<>;"#, r#"\+\"\\\<\>\;"#),
        ("#1=x#", r"\#1\=x\#"),
        ("  in between  ", r"\ \ in between\ \ "),
        (" ", r"\ "),
        ("a\0b", r"a\00b"),
        ("Bärbel ☃", "Bärbel ☃"),
        ("x,CN=admin", r"x\,CN\=admin"),
    ] {
        assert_eq!(principal_of(common(name)), format!("User:CN={written}"));
    }
}

#[test]
fn attributes_without_a_short_name_are_hex() {
    let email = DnValue::Ia5String("a@b".try_into().unwrap());
    let name = vec![(DnType::from_oid(&[1, 2, 840, 113549, 1, 9, 1]), email)];
    assert_eq!(principal_of(name), "User:1.2.840.113549.1.9.1=#1603614062");
    let long = DnValue::Utf8String("x".repeat(200));
    let written = principal_of(vec![(DnType::from_oid(&[1, 2, 3]), long)]);
    assert!(written.starts_with("User:1.2.3=#0c81c87878"), "{written}");
    assert_eq!(written.len(), "User:1.2.3=#0c81c8".len() + 400);
}

#[test]
fn every_kind_of_string_is_read() {
    let kinds = [
        DnValue::PrintableString("orders".try_into().unwrap()),
        DnValue::Ia5String("orders".try_into().unwrap()),
        DnValue::TeletexString("orders".try_into().unwrap()),
        DnValue::BmpString("orders".try_into().unwrap()),
    ];
    for kind in kinds {
        assert_eq!(principal_of(vec![(DnType::CommonName, kind)]), "User:CN=orders");
    }
    let universal = DnValue::UniversalString("o".try_into().unwrap());
    assert_eq!(
        principal_of(vec![(DnType::CommonName, universal)]),
        "User:CN=#1c040000006f",
        "Java reads no text in this one"
    );
}

#[test]
fn what_is_no_certificate_is_an_error() {
    assert!(principal(b"").is_err());
    assert!(principal(b"\x30\x03abc").is_err());
}
