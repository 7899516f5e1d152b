//! Candidates that fail, each in a different way.

use std::time::Duration;

use barnabas_lifecycle::change::{ManifestPatch, SwapStage};
use barnabas_runtime::compiler::CompileLimits;
use bytes::Bytes;

use crate::compiling::{endless, guest};

/// Enough to compile every guest, and quickly exceeded by one that needs more.
pub(super) const COMPILE: CompileLimits =
    CompileLimits { memory: 4 << 30, cpu: Duration::from_secs(3), wall: Duration::from_secs(180) };

/// One of them.
pub(super) struct FailingCandidate {
    pub(super) name: &'static str,
    /// Submitted first.
    pub(super) artifact: Option<Bytes>,
    pub(super) wanted: ManifestPatch,
    /// The stage at which it fails.
    pub(super) stage: SwapStage,
    /// Required parts of the error message.
    pub(super) words: &'static [&'static str],
}

/// All candidates; `destination` has the settings and grants of the serving generation's manifest.
pub(super) fn all(destination: &str) -> Vec<FailingCandidate> {
    [found_on_the_way(destination), found_by_looking(destination), found_by_starting(destination), found_by_trying()]
        .into_iter()
        .flatten()
        .collect()
}

fn candidate(
    name: &'static str,
    artifact: Option<Vec<u8>>,
    manifest: &str,
    stage: SwapStage,
    words: &'static [&'static str],
) -> FailingCandidate {
    let wanted = ManifestPatch { manifest: Some(manifest.to_owned()), ..ManifestPatch::default() };
    FailingCandidate { name, artifact: artifact.map(Bytes::from), wanted, stage, words }
}

fn found_on_the_way(destination: &str) -> Vec<FailingCandidate> {
    let missing = format!("artifact = \"nowhere.wasm\"\n{destination}");
    let path = barnabas_tests::guests::path("otlp-http").display().to_string();
    let other = format!("artifact = {path:?}\ndigest = \"sha256:{}\"\n{destination}", "0".repeat(64));
    vec![
        candidate("a missing file", None, &missing, SwapStage::Fetch, &["`artifact`", "nowhere.wasm", "No such file"]),
        candidate("a wrong digest", None, &other, SwapStage::Digest, &["`digest`", "sha256:0000", "is wanted"]),
    ]
}

fn found_by_looking(destination: &str) -> Vec<FailingCandidate> {
    let of = |name, artifact, manifest, stage, words| candidate(name, Some(artifact), manifest, stage, words);
    let version = patched("taker", "@0.1.0", "@0.2.0");
    let stranger = patched("taker", "kafka-telemetry:receiver/log@", "kafka-telemetry:strangers/up@");
    let (settings, _) = destination.split_once("[grants]").unwrap();
    vec![
        of("garbage", b"\x7fELF, not Wasm".to_vec(), "", SwapStage::Contract, &["it is not WebAssembly"]),
        of(
            "a core module without metadata",
            b"\0asm\x01\0\0\0".to_vec(),
            "",
            SwapStage::Contract,
            &["a core module without WIT metadata"],
        ),
        of(
            "another contract version",
            version,
            "",
            SwapStage::Contract,
            &["built against kafka-telemetry:receiver 0.2.0", "this host supports 0.1.0"],
        ),
        of(
            "an unknown import",
            stranger,
            "",
            SwapStage::Contract,
            &["kafka-telemetry:strangers/up", "which this host does not provide"],
        ),
        of("an ungranted destination", guest("otlp-http"), settings, SwapStage::SelfTest, &["grant"]),
        of(
            "a compile beyond its limits",
            endless(),
            "",
            SwapStage::Compile,
            &["it needs more than 3 s of CPU time to be compiled"],
        ),
    ]
}

fn found_by_starting(destination: &str) -> Vec<FailingCandidate> {
    let of = |name, artifact: &str, manifest: &str, words| {
        candidate(name, Some(guest(artifact)), manifest, SwapStage::Start, words)
    };
    let misspelt = destination.replace("endpoint", "endpont");
    vec![
        of("a start that traps", "traps_start", "", &["`artifact`", "failed to start", "panics before"]),
        of("a start that spins", "spins_start", "[limits]\nstart = \"300ms\"\n", &["`artifact`", "failed to start"]),
        of("a start that refuses", "refuses_start", "", &["`settings`", "refused to start", "`endpoint` is missing"]),
        of("settings that are refused", "otlp-http", &misspelt, &["`settings`", "refused to start", "endpont"]),
    ]
}

fn found_by_trying() -> Vec<FailingCandidate> {
    let of = |name, artifact: &str, manifest: &str, words| {
        candidate(name, Some(guest(artifact)), manifest, SwapStage::SelfTest, words)
    };
    vec![
        of("a self-test that traps", "traps", "", &["it failed (trap)", "poisoned by a push"]),
        of("a self-test that sleeps", "sleeps", "[limits]\ndeadline = \"500ms\"\n", &["it failed (deadline)"]),
        of("a self-test that spins", "spins", "[limits]\ncpu = \"300ms\"\n", &["it failed (cpu-limit)"]),
    ]
}

/// A built guest in which a name is replaced everywhere by another of the same length, so that the binary stays valid.
fn patched(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let (mut bytes, mut found) = (guest(name), 0);
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{name} does not contain `{from}`");
    bytes
}
