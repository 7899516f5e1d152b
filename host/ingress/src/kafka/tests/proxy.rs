//! Behind a load balancer: the client's address comes from the header, and only trusted proxies may send one.

use super::golden::{LIBRDKAFKA_GET, LIBRDKAFKA_METADATA};
use super::*;

/// Version 2, from 203.0.113.7:51234 to 198.51.100.9:9092.
const BINARY: &str = "0d0a0d0a000d0a515549540a2111000ccb007107c6336409c8222384";
const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.9 51234 9092\r\n";

fn trusted(networks: &[&str]) -> Option<TrustedProxies> {
    Some(TrustedProxies::parse(&networks.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap())
}

async fn behind_a_balancer() -> KafkaListenerFixture {
    KafkaListenerFixture::configured(|config| config.proxies = trusted(&["10.0.0.0/8", "127.0.0.1"])).await
}

#[tokio::test]
async fn the_client_is_who_the_header_says() {
    let door = behind_a_balancer().await;
    for header in [LINE.to_vec(), unhex(BINARY)] {
        // In one write: no byte of the request may be read as part of the header.
        let mut peer = door.connect().await;
        peer.ask(&[header, unhex(LIBRDKAFKA_GET)].concat()).await;
        let client = door.intake.subscribe_calls.lock().unwrap().pop().unwrap();
        assert_eq!(client.source, Some("203.0.113.7:51234".parse().unwrap()));
        assert_eq!(client.principal, None);
        let answer = peer.ask(&unhex(LIBRDKAFKA_METADATA)).await;
        assert!(answer.windows(12).any(|part| part == b"198.51.100.9"), "the address it connected to is advertised");
    }
}

#[tokio::test]
async fn a_header_may_come_in_parts() {
    let door = behind_a_balancer().await;
    for header in [LINE.to_vec(), unhex(BINARY)] {
        let mut peer = door.connect().await;
        for byte in header {
            peer.send(&[byte]).await;
            tokio::task::yield_now().await;
        }
        peer.ask(&unhex(LIBRDKAFKA_GET)).await;
        let client = door.intake.subscribe_calls.lock().unwrap().pop().unwrap();
        assert_eq!(client.source, Some("203.0.113.7:51234".parse().unwrap()));
    }
}

#[tokio::test]
async fn without_addresses_in_the_header_the_socket_counts() {
    let door = behind_a_balancer().await;
    for header in [b"PROXY UNKNOWN\r\n".to_vec(), unhex("0d0a0d0a000d0a515549540a20000000")] {
        let mut peer = door.connect().await;
        peer.ask(&[header, unhex(LIBRDKAFKA_GET)].concat()).await;
        let client = door.intake.subscribe_calls.lock().unwrap().pop().unwrap();
        assert_eq!(client.source, Some(peer.0.local_addr().unwrap()));
    }
}

#[tokio::test]
async fn the_header_is_required_from_a_trusted_proxy() {
    let door = behind_a_balancer().await;
    for (bytes, words) in [
        (unhex(LIBRDKAFKA_GET), "sent no PROXY header"),
        (b"PROXY TCP4 x\r\n          ".to_vec(), "malformed PROXY header of version 1"),
        (unhex("0d0a0d0a000d0a515549540a21110801"), "announces 2049 bytes"),
    ] {
        door.close_reasons.lock().unwrap().clear();
        let mut peer = door.connect().await;
        peer.send(&bytes).await;
        assert!(peer.is_closed().await);
        let ends = door.close_reasons(1).await;
        assert!(ends[0].contains(words), "{ends:?}");
    }
    assert!(door.intake.subscribe_calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_header_is_rejected_from_other_sources() {
    let elsewhere = KafkaListenerFixture::configured(|config| config.proxies = trusted(&["10.0.0.0/8"])).await;
    for door in [elsewhere, KafkaListenerFixture::open().await] {
        for header in [LINE.to_vec(), unhex(BINARY)] {
            door.close_reasons.lock().unwrap().clear();
            let mut peer = door.connect().await;
            peer.send(&[header, unhex(LIBRDKAFKA_GET)].concat()).await;
            assert!(peer.is_closed().await);
            let ends = door.close_reasons(1).await;
            assert!(ends[0].contains("list the load balancer in this listener's `proxy-protocol.from`"), "{ends:?}");
        }
        let mut peer = door.connect().await;
        peer.ask(&unhex(LIBRDKAFKA_GET)).await;
        let asked = door.intake.subscribe_calls.lock().unwrap().pop().unwrap();
        assert_eq!(asked.source, Some(peer.0.local_addr().unwrap()), "without a header it is served");
    }
}

#[tokio::test]
async fn a_header_that_does_not_end_is_not_waited_for() {
    let door = KafkaListenerFixture::configured(|config| {
        config.proxies = trusted(&["127.0.0.1"]);
        config.slow_frame = Duration::from_millis(50);
    })
    .await;
    let mut peer = door.connect().await;
    peer.send(&LINE[..20]).await;
    assert!(peer.is_closed().await);
    assert!(door.close_reasons(1).await[0].contains("waiting for the PROXY header"));
}

#[tokio::test]
async fn a_load_balancers_tcp_health_check_is_not_an_error() {
    let door = behind_a_balancer().await;
    drop(door.connect().await);
    assert_eq!(door.close_reasons(1).await, ["closed by the client"]);
    let mut peer = door.connect().await;
    peer.send(&LINE[..20]).await;
    drop(peer);
    assert_eq!(door.close_reasons(2).await[1], "closed by the client inside a frame");
}

#[tokio::test]
async fn connections_count_for_the_client_behind_the_load_balancer() {
    let door = KafkaListenerFixture::configured(|config| {
        config.proxies = trusted(&["127.0.0.1"]);
        config.max_connections = 8;
    })
    .await;
    let mut inside = Vec::new();
    for _ in 0..4 {
        let mut peer = door.connect().await;
        peer.ask(&[LINE, &unhex(LIBRDKAFKA_GET)].concat()).await;
        inside.push(peer);
    }
    let mut more = door.connect().await;
    more.send(LINE).await;
    assert!(more.is_closed().await);
    assert!(door.close_reasons(1).await[0].contains("the source has 2 connections"));
    let mut other = door.connect().await;
    other.ask(&[&b"PROXY TCP4 203.0.113.8 198.51.100.9 51234 9092\r\n"[..], &unhex(LIBRDKAFKA_GET)].concat()).await;
    for peer in &mut inside {
        peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    }
}
