//! From the file's content to the resolved configuration.

use std::path::Path;

use super::super::raw::RawConfig;
use super::super::{Config, messages};
use super::*;

fn written(text: &str) -> RawConfig {
    messages::parse_toml(Path::new("barnabas.toml"), text).unwrap()
}

const FRONT: &str = "[[listener]]\nname = \"front\"\nbind = \"0.0.0.0:9093\"\n";

#[track_caller]
fn refused(text: &str, words: &str) {
    let why = Config::resolve(&written(text)).expect_err(text).to_string();
    assert!(why.contains(words), "{why}");
}

#[test]
fn tls_is_resolved() {
    let tls = |rest: &str| {
        let tls = format!("tls = {{ certificate = \"cert.pem\", key = \"key.pem\"{rest} }}\n");
        Config::resolve(&written(&format!("{FRONT}protocol = \"kafka-tls\"\n{tls}")))
            .unwrap()
            .kafka
            .remove(0)
            .tls
            .unwrap()
    };
    assert_eq!(tls("").client_auth, kafka::ClientAuth::None);
    assert_eq!(tls(", client-auth = \"none\"").client_auth, kafka::ClientAuth::None);
    let ca = ", client-ca = \"ca.pem\"";
    assert_eq!(tls(ca).client_auth, kafka::ClientAuth::Required);
    assert_eq!(tls(ca).client_ca.as_deref(), Some(Path::new("ca.pem")));
    assert_eq!(tls(&format!("{ca}, client-auth = \"requested\"")).client_auth, kafka::ClientAuth::Requested);
    assert_eq!(tls(&format!("{ca}, client-auth = \"required\"")).client_auth, kafka::ClientAuth::Required);
}

#[test]
fn settings_without_effect_are_refused() {
    let tls = "tls = { certificate = \"c\", key = \"k\" }\n";
    refused(&format!("{FRONT}protocol = \"kafka-tls\"\n"), "needs `tls`");
    refused(&format!("{FRONT}protocol = \"kafka-plaintext\"\n{tls}"), "no effect");
    refused(&format!("{FRONT}protocol = \"otlp-http\"\n{tls}"), "`tls` is for");
    refused(&format!("{FRONT}protocol = \"otlp-http\"\nproxy-protocol = {{ from = [\"::1\"] }}\n"), "is for Kafka");
    refused(&format!("{FRONT}protocol = \"kafka-plaintext\"\nproxy-protocol = {{ from = [] }}\n"), "is empty");
    let none = "tls = { certificate = \"c\", key = \"k\", client-ca = \"ca\", client-auth = \"none\" }\n";
    refused(&format!("{FRONT}protocol = \"kafka-tls\"\n{none}"), "client-ca");
}

#[test]
fn trusted_proxies_are_resolved() {
    let text = format!("{FRONT}protocol = \"kafka-plaintext\"\nproxy-protocol = {{ from = [\"10.0.0.0/8\"] }}\n");
    let proxies = Config::resolve(&written(&text)).unwrap().kafka.remove(0).proxies.unwrap();
    assert_eq!(proxies, kafka::TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap());
}

#[test]
fn paths_are_relative_to_the_file_and_what_is_printed_is_read_back() {
    let folder = tempfile::TempDir::new().unwrap();
    let tls = "tls = { certificate = \"cert.pem\", key = \"/etc/key.pem\", client-ca = \"tls/ca.pem\" }";
    let proxy = "proxy-protocol = { from = [\"::1\"] }";
    let path = folder.path().join("barnabas.toml");
    std::fs::write(&path, format!("{FRONT}protocol = \"kafka-tls\"\n{tls}\n{proxy}\n")).unwrap();
    let (read, config) = Config::load(Some(&path)).unwrap();
    let meant = config.kafka[0].tls.clone().unwrap();
    assert_eq!(meant.certificate, folder.path().join("cert.pem"));
    assert_eq!(meant.key, Path::new("/etc/key.pem"));
    assert_eq!(meant.client_ca, Some(folder.path().join("tls/ca.pem")));
    let printed = super::super::print(&read).unwrap();
    assert_eq!(Config::resolve(&written(&printed)).unwrap().kafka, config.kafka);
}
