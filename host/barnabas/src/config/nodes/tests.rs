//! From the file's content to the resolved configuration.

use std::path::Path;

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
fn nodes_are_advertised_to_the_clients_of_their_listener() {
    let one =
        format!("node-id = 1\n{FRONT}protocol = \"kafka-plaintext\"\n[[node]]\nid = 2\nhost = \"b2\"\nport = 9092\n");
    let config = Config::resolve(&written(&one)).unwrap();
    assert_eq!(config.kafka[0].nodes, [kafka::ClusterNode { id: 2, host: "b2".into(), port: 9092 }]);

    let back = "[[listener]]\nname = \"back\"\nprotocol = \"kafka-plaintext\"\nbind = \"0.0.0.0:9094\"\n";
    refused(&format!("{one}{back}"), "has no `listener`");
    let both =
        format!("{one}listener = \"front\"\n[[node]]\nid = 2\nhost = \"b2\"\nport = 9094\nlistener = \"back\"\n{back}");
    let config = Config::resolve(&written(&both)).unwrap();
    assert_eq!(config.kafka.iter().map(|k| k.nodes[0].port).collect::<Vec<_>>(), [9092, 9094]);
}

#[test]
fn a_node_without_a_listener_is_refused() {
    let node = "[[node]]\nid = 2\nhost = \"b2\"\nport = 9092\n";
    refused(&format!("{FRONT}protocol = \"otlp-http\"\n{node}"), "no Kafka listener");
    refused(&format!("{FRONT}protocol = \"kafka-plaintext\"\n{node}listener = \"back\"\n"), "with this name");
}

#[test]
fn what_is_printed_is_read_back() {
    let node = "[[node]]\nid = 2\nhost = \"b2\"\nport = 9092\nlistener = \"front\"\n";
    let read = written(&format!("{FRONT}protocol = \"kafka-plaintext\"\n{node}"));
    let printed = super::super::print(&read).unwrap();
    assert_eq!(Config::resolve(&written(&printed)).unwrap().kafka, Config::resolve(&read).unwrap().kafka);
}
