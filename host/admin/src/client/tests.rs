use std::net::TcpListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use super::*;

/// Responds to one request with these bytes; returns the request.
fn host(answer: &'static str) -> (AdminClient, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = AdminAddress::for_bound(listener.local_addr().unwrap(), Some("secret".into()));
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = String::new();
        while !heard.contains("\r\n\r\n") || heard.contains("content-length: 2") && !heard.ends_with("{}") {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).unwrap();
            heard.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        stream.write_all(answer.as_bytes()).unwrap();
        heard
    });
    (AdminClient::new(vec![place]), heard)
}

#[test]
fn a_request_has_the_token_and_empty_lines_are_skipped() {
    let (client, heard) = host(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n6\r\n:1}\n\n\n\r\n3\r\n{}\n\r\n0\r\n\r\n",
    );
    let lines: Vec<_> = client.post_for_lines("/v1/reconcile", b"{}").unwrap().map(Result::unwrap).collect();
    assert_eq!(lines, ["{\"a\":1}", "{}"]);
    let heard = heard.join().unwrap();
    assert!(heard.starts_with("POST /v1/reconcile HTTP/1.1\r\nhost: 127.0.0.1:"), "{heard}");
    assert!(heard.contains("\r\nauthorization: Bearer secret\r\n") && heard.ends_with("\r\n\r\n{}"), "{heard}");
}

#[test]
fn a_truncated_response_is_an_error() {
    let (client, heard) = host("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n");
    let mut lines = client.post_for_lines("/v1/reconcile", b"{}").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "{}");
    let error = lines.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("before the outcome"), "{error}");
    heard.join().unwrap();
}

#[test]
fn an_error_response_is_reduced_to_its_message() {
    let body = r#"{"error":{"code":"x","message":"there is no plugin `a`"}}"#;
    assert_eq!(error_message(404, body), "there is no plugin `a`");
    assert_eq!(error_message(502, "bad gateway\n"), "502: bad gateway");
}

#[test]
fn a_path_cannot_smuggle_a_second_request() {
    let client = AdminClient::new(vec![AdminAddress::Socket(PathBuf::from("/nowhere"))]);
    let error = client.get("/x HTTP/1.1\r\n\r\nGET /").unwrap_err();
    assert!(error.to_string().contains("not a valid path"));
}

#[test]
fn a_missing_host_is_reported_with_the_remedy_and_every_address() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client =
        AdminClient::new(vec![AdminAddress::Socket("/nowhere.sock".into()), AdminAddress::for_bound(gone, None)]);
    let error = client.get("/v1/status").unwrap_err().to_string();
    for words in ["start `barnabas serve`", "/nowhere.sock", &gone.to_string()] {
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_next_address_is_used_if_the_first_refuses_connections() {
    let (mut client, heard) = host("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    client.addresses.insert(0, AdminAddress::Socket("/nowhere.sock".into()));
    assert_eq!(client.get("/healthz").unwrap(), "ok");
    heard.join().unwrap();
}
