//! Malformed input through the whole host. The unit tests of the modules cover more cases; these show that the response
//! reaches the client and that other clients are unaffected.

use std::time::Duration;

use barnabas_base::{Codec, InstanceId};
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::vectors;

async fn host_with_taker() -> RunningHost {
    Setup::new().receiver("taker", "taker", "").start().await
}

/// Asserts that the push of a well-behaved client is still accepted.
async fn other_clients_still_push(host: &RunningHost) {
    let vector = vectors::one("java-4.0-producer-cumulative.zstd");
    let mut client = RawClient::connect(host.kafka(), "other").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0));
}

/// Pushes these bytes on a new connection; returns the error code.
async fn pushed(host: &RunningHost, codec: Codec, wire: &[u8]) -> Option<i16> {
    let mut client = RawClient::connect(host.kafka(), "bad").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    client.push(&subscribed, codec, wire, false).await
}

/// 64 MiB of zeros with each codec.
fn bombs() -> Vec<(Codec, Vec<u8>)> {
    use std::io::Write as _;
    let zeros = vec![0; 64 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&zeros).unwrap();
    vec![(Codec::Zstd, zstd::encode_all(&zeros[..], 19).unwrap()), (Codec::Gzip, gzip.finish().unwrap())]
}

#[tokio::test(flavor = "multi_thread")]
async fn decompression_bombs_are_too_large_and_never_invalid() {
    let host = host_with_taker().await;
    for (codec, bomb) in bombs() {
        assert!(bomb.len() * 500 < 64 << 20, "{codec}: {} bytes", bomb.len());
        assert_eq!(pushed(&host, codec, &bomb).await, Some(118), "{codec}");
    }
    other_clients_still_push(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_bytes_that_no_reader_could_parse_are_invalid_records() {
    let host = host_with_taker().await;
    for vector in vectors::all().iter().filter(|v| v.codec != Codec::None) {
        let half = &vector.wire[..vector.wire.len() / 2];
        assert_eq!(pushed(&host, vector.codec, half).await, Some(87), "half of {}", vector.name);
    }
    assert_eq!(pushed(&host, Codec::None, b"\x0a\xff\xff\xff").await, Some(87), "not Protobuf");
    assert_eq!(pushed(&host, Codec::None, b"\xfa\x3e\x03abc").await, Some(0), "an unknown field is accepted");
    assert_eq!(pushed(&host, Codec::None, b"").await, Some(0), "an empty push is accepted");
    other_clients_still_push(&host).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_utf8_is_repaired_counted_and_accepted() {
    let host = host_with_taker().await;
    // ResourceMetrics { resource: { attributes: [{ key: 0xff 0xfe }] } }
    assert_eq!(pushed(&host, Codec::None, b"\x0a\x08\x0a\x06\x0a\x04\x0a\x02\xff\xfe").await, Some(0));
    let metrics = metrics(&host).await;
    let counted = metrics.lines().find(|line| line.starts_with("barnabas_push_repaired_strings_total"));
    assert!(counted.is_some_and(|line| line.ends_with(" 1")), "{counted:?}");
    host.stop().await;
}

async fn metrics(host: &RunningHost) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(host.admin()).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", host.admin());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_frames_close_only_their_own_connection() {
    let host = host_with_taker().await;
    let lies: [&[u8]; 5] = [
        b"\xff\xff\xff\xff",                                             // a negative length
        b"\x7f\xff\xff\xff",                                             // two gigabytes
        b"\x00\x00\x00\x04\x00\x48\x00\x00",                             // a truncated header
        b"\x00\x00\x00\x0c\x7f\x00\x00\x00\x00\x00\x00\x01\xff\xff\0\0", // an unknown key
        b"GET / HTTP/1.1\r\n\r\n",                                       // another protocol
    ];
    for lie in lies {
        let mut client = RawClient::connect(host.kafka(), "liar").await;
        let _ = client.send(lie).await;
        assert_eq!(client.receive().await, None, "{lie:?} closes its connection");
        other_clients_still_push(&host).await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_request_times_out_and_an_idle_connection_does_not() {
    let host = Setup::new()
        .with(|written| written.limits.slow_request = "300ms".parse().unwrap())
        .receiver("taker", "taker", "")
        .start()
        .await;
    let mut idle = RawClient::connect(host.kafka(), "idle").await;
    idle.api_versions("librdkafka").await;
    let mut slow = RawClient::connect(host.kafka(), "slow").await;
    slow.send(b"\x00\x0f\xff\xff\x00").await.unwrap();
    assert_eq!(slow.receive().await, None, "the request stayed incomplete");
    tokio::time::sleep(Duration::from_millis(300)).await;
    idle.api_versions("librdkafka").await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_above_the_frame_limit_is_counted_for_its_ingress() {
    let host = host_with_taker().await;
    assert_eq!(pushed(&host, Codec::None, &vec![0; 3 << 20]).await, Some(118));
    let ledger = host.host.reception.ledger();
    assert_eq!((ledger.received, ledger.refused.get("too_large")), (1, Some(&1)));
    host.stop().await;
}
