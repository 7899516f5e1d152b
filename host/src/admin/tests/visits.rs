//! Bounds on visitors.

use super::changes::begun;
use super::*;
use crate::admin::visits::VISITORS;

/// Visits that are over soon, for what is expected to run into their end.
fn hurried() -> Times {
    let soon = Duration::from_millis(100);
    Times { visit: soon, head: soon, idle: soon }
}

#[tokio::test]
async fn visitors_beyond_the_cap_wait_and_are_served() {
    let endpoint = Endpoint::start().await;
    let mut silent = Vec::new();
    for _ in 0..VISITORS {
        silent.push(TcpStream::connect(endpoint.at).await.unwrap());
    }
    let mut last = TcpStream::connect(endpoint.at).await.unwrap();
    last.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = timeout(Duration::from_millis(200), last.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "answered although {VISITORS} others are there: {answer}");
    // Strangers cannot keep the operator out.
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
async fn a_visitor_who_stays_does_not_hold_up_shutdown() {
    let endpoint = Endpoint::start().await;
    *endpoint.office.slow.lock().unwrap() = true;
    let mut stream = TcpStream::connect(endpoint.at).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    let _change = endpoint.begins(&format!("{}\r\ncontent-length: 0", endpoint.lines("POST /v1/reconcile")), "").await;
    begun(&endpoint).await;
    endpoint.end().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn a_change_may_take_longer_than_a_visit() {
    let endpoint = Endpoint::with(hurried()).await;
    *endpoint.office.slow.lock().unwrap() = true;
    let lines = format!("{}\r\ncontent-length: 0", endpoint.lines("POST /v1/reconcile"));
    let mut change = endpoint.begins(&lines, "").await;
    let sender = begun(&endpoint).await;
    // This one came later, and its visit is over: so the change's would be.
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
async fn an_upload_that_stands_still_is_given_up() {
    let endpoint = Endpoint::with(Times { idle: Duration::from_millis(50), ..Times::default() }).await;
    let lines = format!("{}\r\ncontent-length: 3", endpoint.lines("POST /v1/artifacts"));
    let mut stream = endpoint.begins(&lines, "a").await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(endpoint.office.kept.lock().unwrap().is_empty());
    endpoint.end().await;
}

#[tokio::test]
async fn an_address_in_use_is_told_with_the_remedy() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = bind(Config::new(holder.local_addr().unwrap())).await.unwrap_err();
    assert!(error.to_string().contains("`admin.bind`"), "{error}");
}

#[tokio::test]
async fn a_second_host_on_one_socket_is_refused() {
    let endpoint = Endpoint::start().await;
    let config = Config { socket: Some(endpoint.socket.clone()), ..Config::new(([127, 0, 0, 1], 0).into()) };
    let error = bind(config).await.unwrap_err().to_string();
    assert!(error.contains("another host answers"), "{error}");
    endpoint.end().await;
}

#[tokio::test]
async fn other_protocols_are_closed_without_an_answer_in_http() {
    let endpoint = Endpoint::start().await;
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
