//! Other protocols at the Kafka listener: each is named with its remedy, and HTTP clients get an HTTP response.

use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::authority::{CertificateFolder, TestAuthority};
use super::golden::{LIBRDKAFKA_API_VERSIONS, LIBRDKAFKA_GET};
use super::*;
use crate::protocol::tests::CLIENT_HELLO;

const HTTP: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: b1.example\r\n\r\n";

async fn with_tls() -> (KafkaListenerFixture, TestAuthority, CertificateFolder) {
    let authority = TestAuthority::new();
    let folder = CertificateFolder::new(&authority);
    let tls = folder.tls(ClientAuth::None);
    (KafkaListenerFixture::configured(|config| config.tls = Some(tls)).await, authority, folder)
}

/// Sends `parts`, each after the listener has had time to read the previous one; returns the answer and why the
/// listener closed.
async fn send(door: &KafkaListenerFixture, parts: &[&[u8]]) -> (String, String) {
    door.close_reasons.lock().unwrap().clear();
    let mut peer = door.connect().await;
    for part in parts {
        peer.0.write_all(part).await.ok();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = timeout(Duration::from_secs(60), peer.0.read_to_end(&mut answer)).await.expect("an end");
    (String::from_utf8(answer).unwrap(), door.close_reasons(1).await.remove(0))
}

#[tokio::test]
async fn a_real_tls_client_at_a_plaintext_listener_is_named() {
    let door = KafkaListenerFixture::open().await;
    let client = TlsConnector::from(TestAuthority::new().trusted_by(None));
    let stream = TcpStream::connect(door.address).await.unwrap();
    let refused = client.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::UnexpectedEof, "closed, without an alert");
    let expected = format!(
        "TLS arrived at the plaintext Kafka listener {}: set security.protocol=PLAINTEXT at the client, or serve this \
         listener with protocol = \"kafka-tls\"",
        door.address
    );
    assert_eq!(door.close_reasons(1).await, [expected]);
}

#[tokio::test]
async fn other_protocols_at_a_plaintext_listener_are_named_however_they_are_cut() {
    let door = KafkaListenerFixture::open().await;
    let hello = unhex(CLIENT_HELLO);
    for (bytes, words) in [
        (&hello[..], "TLS arrived at the plaintext Kafka listener"),
        (HTTP, "HTTP arrived at the plaintext Kafka listener"),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", "HTTP arrived at the plaintext Kafka listener"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 arrived at the plaintext Kafka listener"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH arrived at the plaintext Kafka listener"),
    ] {
        for cut in [0, 1, 4, 6] {
            let (answer, end) = send(&door, &[&bytes[..cut], &bytes[cut..]]).await;
            assert!(end.starts_with(words), "cut at {cut}: {end}");
            assert_eq!(
                answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
                words.starts_with("HTTP arrived"),
                "{answer}"
            );
            if words.starts_with("HTTP arrived") {
                assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, format!("{end}\n"));
            }
        }
    }
    assert!(door.intake.subscribe_calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn other_protocols_at_a_tls_listener_are_named_however_they_are_cut() {
    let (door, _authority, _folder) = with_tls().await;
    let kafka = unhex(LIBRDKAFKA_API_VERSIONS);
    for (bytes, words) in [
        (&kafka[..], "the Kafka protocol without TLS arrived at the Kafka listener with TLS"),
        (HTTP, "HTTP arrived at the Kafka listener with TLS"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "a PROXY protocol header arrived at the Kafka listener with TLS"),
    ] {
        for cut in [0, 1, 5] {
            let (answer, end) = send(&door, &[&bytes[..cut], &bytes[cut..]]).await;
            assert!(end.starts_with(words), "cut at {cut}: {end}");
            assert_eq!(
                answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
                words.starts_with("HTTP arrived"),
                "{answer}"
            );
        }
    }
}

#[tokio::test]
async fn a_start_that_never_ends_is_not_waited_for() {
    let door = KafkaListenerFixture::configured(|config| config.slow_frame = Duration::from_millis(50)).await;
    for start in [&b"\x16"[..], b"GE", b"OPTI"] {
        door.close_reasons.lock().unwrap().clear();
        let mut peer = door.connect().await;
        peer.send(start).await;
        assert!(peer.is_closed().await);
        let end = door.close_reasons(1).await.remove(0);
        assert!(end.contains("reading a frame") || end.contains("the cap is"), "{end}");
    }
    let (door, _authority, _folder) = with_tls().await;
    let mut peer = door.connect().await;
    peer.send(b"G").await;
    assert!(peer.is_closed().await);
    assert!(door.close_reasons(1).await[0].contains("not TLS"));
}

#[tokio::test]
async fn after_a_request_the_bytes_are_a_frame() {
    let door = KafkaListenerFixture::open().await;
    let mut peer = door.connect().await;
    peer.ask(&unhex(LIBRDKAFKA_GET)).await;
    peer.send(HTTP).await;
    assert!(peer.is_closed().await);
    assert!(door.close_reasons(1).await[0].contains("the cap is"));
}
