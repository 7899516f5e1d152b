//! Several hosts behind one address: what is advertised to a client, in every version.

use bytes::{Buf as _, Bytes};
use kafka_protocol::messages::{MetadataResponse, ResponseHeader};
use kafka_protocol::protocol::Decodable as _;

use super::*;
use barnabas_kafka_wire::api::Api;

fn three(config: &mut KafkaListenerConfig) {
    let node = |id, host: &str| ClusterNode { id, host: host.into(), port: 9092 };
    config.node_id = 2;
    config.advertised = Some(("b2".into(), 9092));
    config.nodes = vec![node(3, "b3"), node(1, "b1")];
}

/// A request for no topics (in version 0 for all, which are none).
fn question(version: i16) -> Vec<u8> {
    let mut body: Vec<u8> = if version >= 9 { vec![1] } else { vec![0; 4] };
    body.extend([version >= 4, (8..=10).contains(&version), version >= 8].iter().filter(|has| **has).map(|_| 0));
    if version >= 9 {
        body.push(0);
    }
    request(3, version, version >= 9, 77, &body)
}

#[tokio::test]
async fn all_three_brokers_are_advertised_in_every_version() {
    let door = KafkaListenerFixture::configured(three).await;
    let mut peer = door.connect().await;
    for version in 0..=Api::Metadata.max_version() {
        let mut answer = Bytes::from(peer.ask(&question(version)).await);
        answer.advance(4);
        ResponseHeader::decode(&mut answer, i16::from(version >= 9)).unwrap();
        let answer = MetadataResponse::decode(&mut answer, version).unwrap();
        let brokers = answer.brokers.iter().map(|b| (b.node_id.0, b.host.to_string(), b.port)).collect::<Vec<_>>();
        let expected = [1, 2, 3].map(|id| (id, format!("b{id}"), 9092));
        assert_eq!(brokers, expected, "version {version}");
        assert_eq!(answer.controller_id.0, if version >= 1 { 1 } else { -1 }, "version {version}");
        assert!(answer.topics.is_empty());
    }
}

#[tokio::test]
async fn a_wrong_list_is_refused_before_anything_is_bound() {
    let mut config = KafkaListenerConfig::new("front", "127.0.0.1:0".parse().unwrap());
    three(&mut config);
    config.nodes.push(ClusterNode { id: 2, host: "elsewhere".into(), port: 9092 });
    let words = bind(config).await.expect_err("this host has two addresses").to_string();
    assert!(words.contains("front") && words.contains("elsewhere:9092"), "{words}");
}
