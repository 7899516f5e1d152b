//! Limits for connections.

use super::changes::started_change;
use super::*;
use crate::connections::MAX_CONNECTIONS;

/// A short request timeout, for tests that run into it.
fn hurried() -> AdminTimeouts {
    let soon = Duration::from_millis(100);
    AdminTimeouts { request: soon, head: soon, idle: soon }
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_served() {
    let endpoint = TestEndpoint::start().await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(endpoint.at).await.unwrap());
    }
    let mut last = TcpStream::connect(endpoint.at).await.unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = timeout(Duration::from_millis(200), last.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "answered although {MAX_CONNECTIONS} others are open: {answer}");
    // TCP clients cannot block the operator on the socket.
    let mut local = UnixStream::connect(&endpoint.socket).await.unwrap();
    local.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    local.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(silent);
    answer.clear();
    last.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    endpoint.end().await;
}

#[tokio::test]
async fn an_open_connection_does_not_delay_shutdown() {
    let endpoint = TestEndpoint::start().await;
    *endpoint.ops.slow.lock().unwrap() = true;
    let mut stream = TcpStream::connect(endpoint.at).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let _change = endpoint.send(&format!("{}\r\ncontent-length: 0", endpoint.lines("POST /v1/reconcile")), "").await;
    started_change(&endpoint).await;
    endpoint.end().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn a_change_may_take_longer_than_the_request_timeout() {
    let endpoint = TestEndpoint::with(hurried()).await;
    *endpoint.ops.slow.lock().unwrap() = true;
    let lines = format!("{}\r\ncontent-length: 0", endpoint.lines("POST /v1/reconcile"));
    let mut change = endpoint.send(&lines, "").await;
    let sender = started_change(&endpoint).await;
    // This connection was opened later and has timed out already, so the change has passed the timeout as well.
    let mut silent = TcpStream::connect(endpoint.at).await.unwrap();
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
    sender.send(ended(ChangeOutcome::Done)).await.unwrap();
    let mut answer = String::new();
    change.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"done\"") && answer.ends_with("0\r\n\r\n"), "{answer}");
    endpoint.end().await;
}

#[tokio::test]
async fn a_stalled_upload_times_out() {
    let endpoint =
        TestEndpoint::with(AdminTimeouts { idle: Duration::from_millis(50), ..AdminTimeouts::default() }).await;
    let lines = format!("{}\r\ncontent-length: 3", endpoint.lines("POST /v1/artifacts"));
    let mut stream = endpoint.send(&lines, "a").await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(endpoint.ops.kept.lock().unwrap().is_empty());
    endpoint.end().await;
}

#[tokio::test]
async fn an_address_in_use_is_reported_with_the_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = bind(AdminConfig::new(holder.local_addr().unwrap())).await.unwrap_err();
    assert!(error.to_string().contains("`admin.bind`"), "{error}");
}

#[tokio::test]
async fn a_second_host_on_the_same_socket_is_rejected() {
    let endpoint = TestEndpoint::start().await;
    let config = AdminConfig { socket: Some(endpoint.socket.clone()), ..AdminConfig::new(([127, 0, 0, 1], 0).into()) };
    let error = bind(config).await.unwrap_err().to_string();
    assert!(error.contains("another host uses"), "{error}");
    endpoint.end().await;
}

#[tokio::test]
async fn connections_with_other_protocols_are_closed_without_an_http_response() {
    let endpoint = TestEndpoint::start().await;
    let tls = b"\x16\x03\x01\x00\x96\x01\x00\x00\x92\x03\x03";
    let kafka = b"\x00\x00\x00\x44\x00\x12\x00\x03\x00\x00\x00\x01";
    for bytes in [&tls[..], kafka, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"] {
        for cut in [0, 1, 5] {
            let mut stream = TcpStream::connect(endpoint.at).await.unwrap();
            stream.write_all(&bytes[..cut]).await.ok();
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.write_all(&bytes[cut..]).await.ok();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty(), "{answer:?}");
        }
    }
    endpoint.end().await;
}
