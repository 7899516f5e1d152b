//! Valid files, invalid files, and files that change.

use super::super::super::tests::authority::{CertificateFolder, TestAuthority};
use super::*;

fn load(tls: ListenerTls) -> Result<Certificates, String> {
    Certificates::load("front".into(), tls)
}

#[test]
fn good_files_are_loaded() {
    let folder = CertificateFolder::new(&TestAuthority::new());
    for auth in [ClientAuth::None, ClientAuth::Requested, ClientAuth::Required] {
        load(folder.tls(auth)).unwrap();
    }
}

#[test]
fn what_cannot_be_used_is_named() {
    let authority = TestAuthority::new();
    let other = authority.server();
    let wrong: [(&str, &[u8], &str); 6] = [
        ("cert.pem", b"", "contains no certificate"),
        ("key.pem", b"not PEM", "contains no private key"),
        ("ca.pem", b"", "contains no certificate"),
        ("cert.pem", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", "no readable"),
        ("ca.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used as an authority"),
        ("key.pem", other.key.as_bytes(), "cannot be used together"),
    ];
    for (name, content, words) in wrong {
        let folder = CertificateFolder::new(&authority);
        std::fs::write(folder.path(name), content).unwrap();
        let why = load(folder.tls(ClientAuth::Required)).expect_err(name);
        assert!(why.contains(words) && why.contains(name), "{why}");
        std::fs::remove_file(folder.path(name)).unwrap();
        let why = load(folder.tls(ClientAuth::Required)).expect_err(name);
        assert!(why.contains("cannot read") && why.contains(name), "{why}");
    }
}

#[test]
fn the_size_of_a_file_obeyed() {
    let folder = CertificateFolder::new(&TestAuthority::new());
    let mut pem = std::fs::read(folder.path("cert.pem")).unwrap();
    pem.resize(1 << 20, b'\n');
    std::fs::write(folder.path("cert.pem"), pem).unwrap();
    load(folder.tls(ClientAuth::None)).unwrap();
}

#[test]
fn the_size_of_a_file_violated() {
    let folder = CertificateFolder::new(&TestAuthority::new());
    let mut pem = std::fs::read(folder.path("cert.pem")).unwrap();
    pem.resize((1 << 20) + 1, b'\n');
    std::fs::write(folder.path("cert.pem"), pem).unwrap();
    assert!(load(folder.tls(ClientAuth::None)).expect_err("too large").contains("larger than 1 MiB"));
}

#[test]
fn new_files_serve_and_broken_ones_do_not() {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let certificates = load(folder.tls(ClientAuth::None)).unwrap();
    let first = certificates.state().serving.clone();
    let serves = |config: &Arc<ServerConfig>| Arc::ptr_eq(&certificates.state().serving, config);

    certificates.reload_if_changed();
    assert!(serves(&first), "nothing changed");
    // The certificate is written before its key: for a moment they do not match.
    let renewed = authority.server();
    std::fs::write(folder.path("cert.pem"), &renewed.certificate).unwrap();
    certificates.reload_if_changed();
    assert!(serves(&first), "half of a change is not used");
    let tried = certificates.state().last_tried.clone();
    certificates.reload_if_changed();
    assert_eq!(certificates.state().last_tried, tried);
    std::fs::write(folder.path("key.pem"), &renewed.key).unwrap();
    certificates.reload_if_changed();
    assert!(!serves(&first));
    let second = certificates.state().serving.clone();

    std::fs::remove_file(folder.path("key.pem")).unwrap();
    certificates.reload_if_changed();
    assert!(serves(&second), "a file that is gone for a moment");
    assert!(certificates.state().last_tried.is_err());
    std::fs::write(folder.path("key.pem"), &renewed.key).unwrap();
    certificates.reload_if_changed();
    assert!(certificates.state().last_tried.is_ok());
}

#[test]
fn files_are_checked_at_most_once_per_interval() {
    let folder = CertificateFolder::new(&TestAuthority::new());
    let certificates = load(folder.tls(ClientAuth::None)).unwrap();
    let start = certificates.state().last_checked;
    assert!(!certificates.start_check_if_due(start));
    assert!(!certificates.start_check_if_due(start + CHECK_INTERVAL - Duration::from_millis(1)));
    let due = (0..100).filter(|_| certificates.start_check_if_due(start + CHECK_INTERVAL)).count();
    assert_eq!(due, 1, "one of the callers");
    assert!(certificates.start_check_if_due(start + CHECK_INTERVAL * 2));
}
