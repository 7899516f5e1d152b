//! Pages that only read.

use super::*;
use barnabas_pipeline::event::{EventData, Events, Topic};

#[tokio::test]
async fn it_is_alive_and_shows_its_status() {
    let endpoint = TestEndpoint::start().await;
    assert_eq!(endpoint.get("/healthz").await.unwrap(), "ok\n");
    let status = endpoint.json("/v1/status").await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        status,
        json!({ "version": version, "plugins": [{ "name": "console", "state": "serving", "file": "secret" }], "ingress": { "received": 7 } })
    );
    endpoint.end().await;
}

#[tokio::test]
async fn readiness_shows_what_it_waits_for() {
    let endpoint = TestEndpoint::start().await;
    *endpoint.status.0.lock().unwrap() = Err("plugin `a` is being compiled".into());
    let answer = endpoint.exchange("GET /readyz HTTP/1.1\r\nhost: localhost").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let reason = "plugin `a` is being compiled";
    assert_eq!(
        body,
        json!({ "ready": false, "reason": reason, "plugins": [{ "name": "console", "state": "serving" }] })
    );

    *endpoint.status.0.lock().unwrap() = Ok(());
    assert_eq!(
        endpoint.json("/readyz").await,
        json!({ "ready": true, "plugins": [{ "name": "console", "state": "serving" }] })
    );
    endpoint.end().await;
}

#[tokio::test]
async fn metrics_show_what_was_emitted() {
    let endpoint = TestEndpoint::start().await;
    let events = Events::new();
    let _listening = endpoint.metrics.listen(&events);
    events.emit(Topic::PushEmpty, || EventData::PushEmpty);
    let page = endpoint.get("/metrics").await.unwrap();
    assert!(page.contains("\nbarnabas_push_empty_total 1\n"), "{page}");
    endpoint.end().await;
}

#[tokio::test]
async fn metrics_are_encoded_as_requested() {
    let endpoint = TestEndpoint::start().await;
    let plain = endpoint.exchange("GET /metrics HTTP/1.1\r\nhost: localhost").await;
    assert!(plain.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{plain}");
    let accept = "accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";
    let open = endpoint.exchange(&format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{accept}")).await;
    assert!(open.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"), "{open}");
    assert!(open.ends_with("# EOF\n"));
    endpoint.end().await;
}

#[tokio::test]
async fn a_plugin_is_shown_with_its_log() {
    let endpoint = TestEndpoint::start().await;
    assert_eq!(
        endpoint.json("/v1/plugins").await,
        json!([{ "name": "console", "state": "serving", "file": "secret" }])
    );
    assert_eq!(endpoint.json("/v1/plugins/sink").await, json!({ "name": "sink", "state": "serving" }));
    let line = json!({ "at_unix_seconds": 1.5, "generation": 2, "level": "warn", "text": "words" });
    assert_eq!(endpoint.json("/v1/plugins/sink/logs").await, json!({ "lines": [line] }));
    for path in ["/v1/plugins/other", "/v1/plugins/other/logs"] {
        let error = endpoint.get(path).await.unwrap_err().to_string();
        assert!(error.contains("`other`"), "{error}");
    }
    endpoint.end().await;
}

#[tokio::test]
async fn the_audit_log_is_limited_to_the_requested_number() {
    let endpoint = TestEndpoint::start().await;
    let error = endpoint.get("/v1/audit?last=7").await.unwrap_err().to_string();
    assert_eq!(error, "cannot read 7 entries: the disk failed");
    let error = endpoint.get("/v1/audit?first=7").await.unwrap_err().to_string();
    assert!(error.contains("`last=`"), "{error}");
    endpoint.end().await;
}

#[tokio::test]
async fn errors_are_json_everywhere() {
    let endpoint = TestEndpoint::start().await;
    for (request, status, code) in [
        ("GET /nowhere", "404", "not-found"),
        ("GET /v1/nowhere", "404", "not-found"),
        ("GET /v1/plugins/a%ff", "400", "bad-request"),
        ("DELETE /v1/status", "405", "method-not-allowed"),
        ("GET /v1/reconcile", "405", "method-not-allowed"),
        ("POST /metrics", "405", "method-not-allowed"),
    ] {
        let answer = endpoint.exchange(&endpoint.lines(request)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["error"]["code"], json!(code), "{answer}");
        assert!(body["error"]["message"].is_string(), "{answer}");
    }
    endpoint.end().await;
}
