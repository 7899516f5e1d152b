//! Access control.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const PUBLIC: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// Every path below `/v1/` with its method.
fn guarded() -> impl Iterator<Item = String> {
    let guarded = pages::table().into_iter().filter(|(_, path, _)| path.starts_with("/v1/"));
    guarded.map(|(method, path, _)| format!("{} {}", method.to_uppercase(), path.replace("{name}", "sink")))
}

#[tokio::test]
async fn public_paths_need_no_token_and_all_others_do() {
    let endpoint = TestEndpoint::start().await;
    let host = format!("host: {}", endpoint.at);
    for path in PUBLIC {
        let answer = endpoint.exchange(&format!("GET {path} HTTP/1.1\r\n{host}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    assert!(guarded().count() > 10);
    for request in guarded().chain(["GET /v1".into(), "GET /v1/nowhere".into()]) {
        for field in ["", "\r\nauthorization: Bearer wrong", "\r\nauthorization: Basic x", "\r\nauthorization: Bearer"]
        {
            let answer = endpoint.exchange(&format!("{request} HTTP/1.1\r\n{host}{field}")).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{request}: {answer}");
            assert!(answer.contains("www-authenticate: Bearer\r\n") && answer.contains("admin.token"), "{answer}");
            assert!(answer.contains(r#""code":"unauthorized""#) && !answer.contains(&endpoint.token), "{answer}");
        }
    }
    assert_eq!(endpoint.ops.asked(), [], "no change was started");
    endpoint.end().await;
}

#[tokio::test]
async fn exactly_one_correct_token_is_accepted() {
    let endpoint = TestEndpoint::start().await;
    let (host, token) = (endpoint.at, endpoint.token.clone());
    let right = format!("GET /v1/status HTTP/1.1\r\nhost: {host}\r\nauthorization: bearer {token}");
    assert!(endpoint.exchange(&right).await.starts_with("HTTP/1.1 200"));
    let twice = format!("{right}\r\nauthorization: Bearer {token}");
    assert!(endpoint.exchange(&twice).await.starts_with("HTTP/1.1 401"));
    for cut in [format!("{token}x"), token[1..].to_owned(), token.to_lowercase() + "A"] {
        let wrong = format!("GET /v1/status HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {cut}");
        assert!(endpoint.exchange(&wrong).await.starts_with("HTTP/1.1 401"), "{cut}");
    }
    endpoint.end().await;
}

#[tokio::test]
async fn without_a_token_file_only_the_socket_gives_access() {
    let bound = bind(AdminConfig::new(([127, 0, 0, 1], 0).into())).await.unwrap();
    let error = bound.guard.token.as_ref().as_ref().unwrap_err();
    assert!(error.contains("no token file"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let lost =
        AdminConfig { token_file: Some(dir.path().join("gone/admin.token")), ..AdminConfig::new(bound.local_addr()) };
    drop(bound);
    let error = format!("{:#}", bind(lost).await.unwrap_err());
    assert!(error.contains("gone/admin.token: ") && error.contains("make the file readable"), "{error}");
}

#[tokio::test]
async fn a_token_that_others_can_read_aborts_startup() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("admin.token");
    std::fs::write(&file, "x".repeat(43)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = AdminConfig { token_file: Some(file), ..AdminConfig::new(([127, 0, 0, 1], 0).into()) };
    let error = format!("{:#}", bind(config).await.unwrap_err());
    assert!(error.contains("read by others"), "{error}");
}

#[tokio::test]
async fn an_unknown_host_name_is_rejected() {
    let endpoint = TestEndpoint::start().await;
    for path in ["/metrics", "/v1/status", "/nowhere"] {
        let token = &endpoint.token;
        let lines = format!("GET {path} HTTP/1.1\r\nhost: evil.example\r\nauthorization: Bearer {token}");
        let answer = endpoint.exchange(&lines).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        assert!(answer.contains("`evil.example` is not a host name of this endpoint"), "{answer}");
        assert!(!answer.contains("barnabas_"), "{answer}");
    }
    endpoint.end().await;
}

#[tokio::test]
async fn a_page_of_another_site_is_rejected_even_with_the_token() {
    let endpoint = TestEndpoint::start().await;
    for (origin, status) in [
        ("http://evil.example".to_owned(), "403"),
        ("null".to_owned(), "403"),
        ("http://192.0.2.6".to_owned(), "403"),
        (format!("http://{}", endpoint.at), "200"),
    ] {
        let lines = endpoint.lines("POST /v1/reconcile");
        let answer = endpoint.exchange(&format!("{lines}\r\norigin: {origin}\r\ncontent-length: 0")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
    }
    assert_eq!(endpoint.ops.asked().len(), 1);
    endpoint.end().await;
}

#[tokio::test]
async fn the_socket_needs_no_token_and_identifies_its_peer() {
    let endpoint = TestEndpoint::start().await;
    let mode = std::fs::metadata(&endpoint.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&endpoint.socket).await.unwrap();
    stream.write_all(b"POST /v1/plugins/sink/pause HTTP/1.1\r\nhost: anything\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (uid, pid) = (rustix::process::getuid().as_raw(), i32::try_from(std::process::id()).unwrap());
    let asked = (Actor::Socket { uid, pid: Some(pid) }, PluginChange::Pause("sink".into()));
    assert_eq!(endpoint.ops.asked(), [asked]);
    endpoint.end().await;
}
