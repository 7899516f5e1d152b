use super::*;
use crate::config::Config;

fn written(text: &str) -> RawConfig {
    toml::from_str(text).unwrap()
}

const OPEN: &str = "[[listener]]\nname = 'a'\nprotocol = 'kafka-plaintext'\nbind = '127.0.0.1:0'\n";
const GUARDED: &str = "[[listener]]\nname = 'b'\nprotocol = 'kafka-sasl-plaintext'\nbind = '127.0.0.1:0'\n";
const SCRAM: &str = "[listener.sasl]\nmechanisms = ['SCRAM-SHA-512']\nusers = 'users.toml'\n";

fn allowed(text: &str) -> Vec<(bool, bool)> {
    let config = Config::resolve(&written(text)).unwrap();
    let may = |kafka: &barnabas_ingress::kafka::KafkaListenerConfig, who| kafka.access.allows(who);
    config.kafka.iter().map(|kafka| (may(kafka, None), may(kafka, Some("User:alice")))).collect()
}

#[test]
fn who_may_alter() {
    let (nobody, all, alice) = ((false, false), (true, true), (false, true));
    assert_eq!(allowed(OPEN), [all]);
    assert_eq!(allowed(&format!("{OPEN}{GUARDED}{SCRAM}")), [nobody, nobody], "on the other listener neither");
    let listed = "admins = ['User:alice']\n";
    assert_eq!(allowed(&format!("{listed}{OPEN}")), [alice], "the list counts wherever it is");
    assert_eq!(allowed(&format!("{listed}{OPEN}{GUARDED}{SCRAM}")), [alice, alice]);
    assert_eq!(allowed(&format!("admins = []\n{OPEN}")), [nobody]);
    let anonymous = format!("admins = ['User:ANONYMOUS']\n{OPEN}{GUARDED}{SCRAM}");
    assert_eq!(allowed(&anonymous), [(true, false), (true, false)]);
}

#[track_caller]
fn refused(text: &str, words: &str) {
    let error = format!("{:#}", Config::resolve(&written(text)).unwrap_err());
    assert!(error.contains(words), "{error}");
}

#[test]
fn inconsistent_settings_are_refused() {
    refused(&format!("admins = ['alice']\n{OPEN}"), "`admins` has `alice`: write principals as Kafka does");
    refused(&format!("admins = ['User:']\n{OPEN}"), "\"User:alice\"");
    refused(GUARDED, "listener `b`: its protocol needs `sasl`");
    refused(&format!("{OPEN}{SCRAM}"), "listener `a`: `sasl` needs the protocol `kafka-sasl-plaintext`");
    let secured = OPEN.replace("kafka-plaintext", "kafka-tls") + "tls = { certificate = 'c', key = 'k' }\n";
    refused(&format!("{secured}{SCRAM}"), "listener `a`: `sasl` needs the protocol `kafka-sasl-tls`");
    refused(&format!("{}{SCRAM}", OPEN.replace("kafka-plaintext", "otlp-http")), "listener `a`: `sasl` is for Kafka");
    refused(&format!("{GUARDED}[listener.sasl]\nmechanisms = ['SCRAM-SHA-256']"), "listener `b`: PLAIN and SCRAM need");
    refused(&format!("{GUARDED}[listener.sasl]\nmechanisms = ['OAUTHBEARER']"), "listener `b`: OAUTHBEARER needs");
}

#[test]
fn plain_needs_tls_or_an_explicit_setting() {
    let plain = format!("{GUARDED}{}", SCRAM.replace("SCRAM-SHA-512", "PLAIN"));
    refused(&plain, "PLAIN sends passwords in plain text");
    let config = Config::resolve(&written(&format!("{plain}plain-without-tls = true\n"))).unwrap();
    assert_eq!(config.kafka[0].auth.as_ref().unwrap().settings().mechanisms, [SaslMechanism::Plain]);
}

#[test]
fn every_setting_is_resolved() {
    let text = format!(
        "{GUARDED}[listener.sasl]\nmechanisms = ['OAUTHBEARER']\nmax-session = '1h'\nfailure-delay = '2s'\n\
         [listener.sasl.oauth]\njwks = 'keys.json'\nissuer = 'i'\naudience = 'a'\n"
    );
    let mut first = written(&text);
    first.listeners[0].sasl.as_mut().unwrap().resolve_paths(Path::new("/etc/b"));
    let again = written(&crate::config::print(&first).unwrap());
    let config = Config::resolve(&again).unwrap();
    let expected = AuthSettings {
        mechanisms: vec![SaslMechanism::OAuthBearer],
        users: None,
        oauth: Some(auth::OAuthSettings {
            jwks: "/etc/b/keys.json".into(),
            issuer: "i".into(),
            audience: "a".into(),
            principal_claim: "sub".into(),
        }),
        max_session: Some(Duration::from_secs(3600)),
        failure_delay: Duration::from_secs(2),
    };
    assert_eq!(config.kafka[0].auth.as_ref().unwrap().settings(), &expected);
}
