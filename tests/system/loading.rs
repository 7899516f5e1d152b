//! Receivers that cannot be loaded: the status has a one-line reason, and the other receivers keep serving.

use barnabas_tests::host::{RunningHost, Setup};

/// The failure in the status of a plugin.
fn failure(host: &RunningHost, name: &str) -> String {
    host.status(name).failure.unwrap_or_default()
}

/// Starts a host with this artifact and a valid receiver, and checks the reason in the status.
async fn refused(artifact: Option<&[u8]>, rest: &str, words: &[&str]) {
    let setup = Setup::new().receiver("sound", "taker", "");
    let path = setup.folder().join("bad.wasm");
    if let Some(bytes) = artifact {
        std::fs::write(&path, bytes).unwrap();
    }
    let setup = setup.manifest("bad", &format!("artifact = {:?}\n{rest}", path.display().to_string()));
    let host = setup.start().await;
    let said = failure(&host, "bad");
    for word in words {
        assert!(said.contains(word), "`{said}` should contain `{word}`");
    }
    assert!(!said.trim().contains('\n'), "a single line: {said}");
    assert_eq!(failure(&host, "sound"), "", "the other plugin keeps serving");
    host.stop().await;
}

fn guest(name: &str) -> Vec<u8> {
    std::fs::read(barnabas_tests::guests::path(name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_artifact() {
    refused(None, "", &["bad.wasm", "artifact"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_digest() {
    let digest = format!("digest = \"sha256:{}\"", "0".repeat(64));
    refused(Some(&guest("taker")), &digest, &["digest", "sha256:0000"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_webassembly() {
    refused(Some(b"\x7fELF not wasm"), "", &["bad.wasm", "WebAssembly"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_module_without_metadata() {
    refused(Some(b"\0asm\x01\0\0\0"), "", &["core module", "barnabas-sdk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_component_of_another_world() {
    refused(Some(b"\0asm\x0d\0\x01\0"), "", &["kafka-telemetry:receiver"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_was_not_granted() {
    let rest = "[settings]\nendpoint = \"http://127.0.0.1:1/\"\n";
    refused(Some(&guest("otlp-http")), rest, &["did not accept the pushes", "127.0.0.1:1", "grant"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_the_receiver_rejects() {
    let rest = "[settings]\nendpont = \"http://127.0.0.1:1/\"\n[grants]\nhttp = [\"127.0.0.1:1\"]\n";
    refused(Some(&guest("otlp-http")), rest, &["endpont", "endpoint"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_type_that_it_does_not_accept() {
    refused(Some(&guest("no_accept")), "", &["OTLP"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_traps_or_spins() {
    refused(Some(&guest("traps_start")), "", &["start"]).await;
    refused(Some(&guest("spins_start")), "[limits]\nstart = \"300ms\"\n", &["failed to start"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_in_a_manifest() {
    refused(Some(&guest("taker")), "setings = 1\n", &["bad.toml", "setings", "did you mean `settings`"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_with_an_invalid_name_does_not_disable_telemetry() {
    let host = Setup::new().manifest("My_Receiver", "artifact = \"x.wasm\"").start().await;
    let said = failure(&host, "misnamed-my-receiver");
    assert!(said.contains("`My_Receiver` is not a valid plugin name"), "{said}");
    assert!(host.host.dispatch.has_slots());
    host.stop().await;
}
