//! Requests for changes, and their responses.

use super::*;
use barnabas_base::units::{ByteSize, HumanDuration};
use barnabas_lifecycle::change::{ManifestPatch, RolloutOverride, SwapStage};
use barnabas_runtime::artifact::MAX_ARTIFACT_BYTES;

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

#[tokio::test]
async fn every_change_arrives_as_requested() {
    let endpoint = TestEndpoint::start().await;
    let wanted = ManifestPatch {
        digest: Some(DIGEST.parse().unwrap()),
        manifest: Some("artifact = \"x\"".into()),
        settings: json!({ "n": null }).as_object().unwrap().clone(),
        limits: json!({ "memory": "32MiB" }).as_object().unwrap().clone(),
        grant_http: vec!["localhost:4318".into()],
        grant_addresses: vec!["10.0.0.0/8".into()],
        grant_own_listeners: Some(true),
        grant_state: Some(ByteSize(1024)),
        grant_state_keys: Some(5),
    };
    let plan = RolloutOverride {
        self_test: Some(false),
        shadow: Some(HumanDuration(Duration::from_secs(60))),
        canary: Some(5.0),
    };
    let candidate = json!({ "wanted": wanted, "plan": plan }).to_string();
    let cases = [
        ("/v1/plugins/sink/load", candidate.as_str(), PluginChange::Load("sink".into(), wanted.clone(), plan)),
        ("/v1/plugins/sink/swap", candidate.as_str(), PluginChange::Swap("sink".into(), wanted, plan)),
        (
            "/v1/plugins/sink/swap",
            "",
            PluginChange::Swap("sink".into(), ManifestPatch::default(), RolloutOverride::default()),
        ),
        ("/v1/plugins/sink/rollback", "{\"to\":3}", PluginChange::Rollback("sink".into(), Some(3), false)),
        ("/v1/plugins/sink/rollback", "{\"force\":true}", PluginChange::Rollback("sink".into(), None, true)),
        ("/v1/plugins/sink/rollback", "{}", PluginChange::Rollback("sink".into(), None, false)),
        ("/v1/plugins/sink/keep", "", PluginChange::Keep("sink".into())),
        ("/v1/plugins/sink/retry", "{\"plan\":{\"canary\":100}}", {
            PluginChange::Retry("sink".into(), RolloutOverride { canary: Some(100.0), ..RolloutOverride::default() })
        }),
        ("/v1/plugins/sink/pause", "", PluginChange::Pause("sink".into())),
        ("/v1/plugins/sink/resume", "{}", PluginChange::Resume("sink".into())),
        ("/v1/plugins/sink/remove", "", PluginChange::Remove("sink".into(), false)),
        ("/v1/plugins/sink/remove", "{\"forget_state\":true}", PluginChange::Remove("sink".into(), true)),
        ("/v1/plugins/sink/abort", "", PluginChange::Abort("sink".into())),
        ("/v1/reconcile", "", PluginChange::Reconcile),
    ];
    for (path, body, change) in cases {
        let (status, answer) = endpoint.post(path, body).await;
        assert!(status.contains("200"), "{path}: {status} {answer}");
        assert_eq!(answer["verdict"], json!("done"), "{path}");
        let (who, asked) = endpoint.ops.asked().pop().unwrap();
        assert_eq!(asked, change);
        assert!(who.to_string().starts_with("token from 127.0.0.1:"), "{who}");
    }
    endpoint.end().await;
}

#[tokio::test]
async fn invalid_requests_are_rejected_before_a_change_is_started() {
    let endpoint = TestEndpoint::start().await;
    for (path, body, code, words) in [
        ("/v1/plugins/sink/swap", "{\"wantd\":{}}", "bad-request", "did you mean `wanted`"),
        ("/v1/plugins/sink/swap", "{\"plan\":{\"self_test\":true}}", "bad-request", "did you mean `self-test`"),
        ("/v1/plugins/sink/swap", "{\"plan\":{\"shadow\":\"soon\"}}", "bad-request", "30s"),
        ("/v1/plugins/sink/swap", "{\"plan\":{\"canary\":101}}", "invalid", "percentage from 0 to 100"),
        ("/v1/plugins/sink/retry", "{\"plan\":{\"canary\":-1}}", "invalid", "percentage from 0 to 100"),
        ("/v1/plugins/sink/pause", "{\"now\":true}", "bad-request", "unknown field `now`"),
        ("/v1/plugins/sink/pause", "nonsense", "bad-request", "/v1/plugins/sink/pause"),
        ("/v1/plugins/..%2fsink/load", "", "invalid", "not a valid plugin name"),
        ("/v1/plugins/Sink/load", "", "invalid", "not a valid plugin name"),
        ("/v1/plugins/a.b/pause", "", "invalid", "not a valid plugin name"),
    ] {
        let (status, answer) = endpoint.post(path, body).await;
        assert!(status.contains("400"), "{path} {body}: {status}");
        assert_eq!(answer["error"]["code"], json!(code), "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer} should contain {words}");
    }
    assert_eq!(endpoint.ops.asked(), []);
    endpoint.end().await;
}

#[tokio::test]
async fn refusals_have_their_status_and_code() {
    let endpoint = TestEndpoint::start().await;
    for (code, status, name) in [
        (ChangeRefusedCode::UnknownPlugin, "404", "unknown-plugin"),
        (ChangeRefusedCode::UnknownGeneration, "404", "unknown-generation"),
        (ChangeRefusedCode::PluginExists, "409", "plugin-exists"),
        (ChangeRefusedCode::NothingUnderWay, "409", "nothing-under-way"),
        (ChangeRefusedCode::RefusedGeneration, "409", "refused-generation"),
        (ChangeRefusedCode::NothingServes, "409", "nothing-serves"),
        (ChangeRefusedCode::Invalid, "400", "invalid"),
        (ChangeRefusedCode::Disk, "507", "disk"),
        (ChangeRefusedCode::Ending, "503", "ending"),
    ] {
        *endpoint.ops.refusal.lock().unwrap() = Some(ChangeRefused { code, message: "because".into() });
        let (line, answer) = endpoint.post("/v1/plugins/sink/pause", "").await;
        assert!(line.contains(status), "{line}");
        assert_eq!(answer, json!({ "error": { "code": name, "message": "because" } }));
    }
    endpoint.end().await;
}

#[tokio::test]
async fn an_artifact_is_stored_under_its_digest() {
    let endpoint = TestEndpoint::start().await;
    let (status, answer) = endpoint.post("/v1/artifacts", "abc").await;
    assert!(status.contains("200"), "{status}");
    assert_eq!(answer, json!({ "digest": DIGEST }));
    assert_eq!(*endpoint.ops.kept.lock().unwrap(), ["abc"]);
    let (status, _) = endpoint.post("/v1/artifacts", "").await;
    assert!(status.contains("400"), "{status}");
    endpoint.end().await;
}

#[tokio::test]
async fn body_cap_obeyed() {
    let endpoint = TestEndpoint::start().await;
    let most = " ".repeat(body::JSON_BYTES - 2) + "{}";
    let (status, _) = endpoint.post("/v1/plugins/sink/pause", &most).await;
    assert!(status.contains("200"), "{status}");
    endpoint.end().await;
}

#[tokio::test]
async fn body_cap_violated() {
    let endpoint = TestEndpoint::start().await;
    for (path, most) in [("/v1/plugins/sink/pause", body::JSON_BYTES), ("/v1/artifacts", MAX_ARTIFACT_BYTES)] {
        let lines = endpoint.lines(&format!("POST {path}"));
        let answer = endpoint.exchange(&format!("{lines}\r\ncontent-length: {}", most + 1)).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("too-large"), "{answer}");
    }
    // A chunked body, which does not declare its length.
    let lines = endpoint.lines("POST /v1/plugins/sink/pause");
    let chunk = format!("{:x}\r\n{}\r\n", body::JSON_BYTES + 1, " ".repeat(body::JSON_BYTES + 1));
    let mut stream = endpoint.send(&format!("{lines}\r\ntransfer-encoding: chunked"), &chunk).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(endpoint.ops.asked(), []);
    endpoint.end().await;
}

#[tokio::test]
async fn one_artifact_at_a_time() {
    let endpoint = TestEndpoint::start().await;
    let lines = endpoint.lines("POST /v1/artifacts");
    // The host asks for the rest of the body, so the first upload has certainly started.
    let lines = format!("{lines}\r\ncontent-length: 3\r\nexpect: 100-continue");
    let mut first = endpoint.send(&lines, "").await;
    let mut going_on = [0; 12];
    first.read_exact(&mut going_on).await.unwrap();
    assert_eq!(&going_on, b"HTTP/1.1 100");
    let (status, answer) = endpoint.post("/v1/artifacts", "def").await;
    assert!(status.contains("503"), "{status}");
    assert_eq!(answer["error"]["code"], json!("busy"));
    first.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    first.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(DIGEST), "{answer}");
    let (status, _) = endpoint.post("/v1/artifacts", "def").await;
    assert!(status.contains("200"), "the next upload is accepted: {status}");
    endpoint.end().await;
}

#[tokio::test]
async fn steps_are_streamed_and_the_change_survives_its_reader() {
    let endpoint = TestEndpoint::start().await;
    *endpoint.ops.slow.lock().unwrap() = true;
    let client = endpoint.client();
    let (lines, mut heard) = mpsc::channel(8);
    let reading = tokio::task::spawn_blocking(move || {
        let mut answer = client.post_for_lines("/v1/plugins/sink/retry", b"").unwrap();
        lines.blocking_send(answer.next().unwrap().unwrap()).unwrap();
    });
    let sender = started_change(&endpoint).await;
    let news = ChangeStep::News { plugin: "sink".into(), stage: SwapStage::Shadow, text: "7 batches".into() };
    sender.send(news.clone()).await.unwrap();
    let line = heard.recv().await.unwrap();
    assert_eq!(serde_json::from_str::<ChangeStep>(&line).unwrap(), news, "although the change is still in progress");
    reading.await.unwrap();
    // The reader has closed its connection, which drops the receiver; the other end still belongs to the change.
    sender.closed().await;
    assert!(endpoint.get("/healthz").await.is_ok());
    endpoint.end().await;
}

/// Waits until a change is requested.
pub(super) async fn started_change(endpoint: &TestEndpoint) -> mpsc::Sender<ChangeStep> {
    while endpoint.ops.steps.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    endpoint.ops.sender()
}
