//! Replacing one generation with another under load: by file, by API call and by command.

mod by_command;
mod by_file;
mod by_hand;
mod canary;
mod refused;
mod self_test;
mod shadow;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use barnabas_base::digest::Digest;
use barnabas_lifecycle::PluginStatus;
use barnabas_lifecycle::change::{
    Actor, ChangeRefused, ChangeStep, ManifestPatch, PluginChange, PluginChangeResult, RolloutOverride, SwapStage,
};
use barnabas_storage::audit::AuditEntry;
use barnabas_tests::eventually;
use barnabas_tests::host::RunningHost;
use barnabas_tests::load::Rate;

const PATIENCE: Duration = Duration::from_secs(60);
const RATE: Rate = Rate { clients: 24, per_second: 120 };
/// A canary with one step that needs few batches.
const CANARY: &str = "[rollout]\ncanary = \"25%\"\nstep = \"30s\"\nbatches = 10\n";
/// A rollout that ends only by an abort.
const ENDLESS: &str = "[rollout]\ncanary = \"25%\"\nstep = \"1h\"\nbatches = 100000\n";

/// A manifest for a guest; `rest` is appended to it.
fn manifest(guest: &str, rest: &str) -> String {
    of_file(&barnabas_tests::guests::path(guest), rest)
}

fn of_file(artifact: &std::path::Path, rest: &str) -> String {
    format!("artifact = {:?}\n[batch]\nlinger = \"10ms\"\n{rest}", artifact.display().to_string())
}

/// A manifest for `taker` that logs a name, so that generations can be told apart.
fn taker(name: &str, rest: &str) -> String {
    manifest("taker", &format!("[settings]\nname = {name:?}\n{rest}"))
}

/// A manifest for `otlp-http` with additional settings.
fn forwarding(url: &str, settings: &str, rest: &str) -> String {
    let authority = url.trim_start_matches("http://").split('/').next().unwrap();
    let labels = r#"["client_instance_id", "push_id"]"#;
    let rest = format!(
        "[settings]\nendpoint = {url:?}\nlabels = {labels}\n{settings}\n[grants]\nhttp = [{authority:?}]\n{rest}"
    );
    manifest("otlp-http", &rest)
}

/// The bytes of a guest with an additional custom section: the same behaviour under another digest.
fn variant(guest: &str, words: &str) -> Vec<u8> {
    let mut bytes = fs::read(barnabas_tests::guests::path(guest)).unwrap();
    let name = u8::try_from(words.len()).unwrap();
    bytes.extend([0, name + 1, name]);
    bytes.extend(words.as_bytes());
    bytes
}

/// Writes a file into the host's folder atomically, by rename.
fn put(host: &RunningHost, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let fresh = host.folder().join(".fresh");
    fs::write(&fresh, content).unwrap();
    let path = host.folder().join(name);
    fs::rename(&fresh, &path).unwrap();
    path
}

/// Writes a manifest.
fn write_manifest(host: &RunningHost, name: &str, text: &str) -> PathBuf {
    put(host, &format!("plugins.d/{name}.toml"), text)
}

/// Waits until the status of a plugin satisfies `so`.
async fn until(host: &RunningHost, name: &str, what: &str, so: impl Fn(&PluginStatus) -> bool) -> PluginStatus {
    eventually(what, PATIENCE, || host.host.plugins.describe(name).filter(|status| so(status))).await
}

/// Waits until this generation serves, matches its manifest, and no rollout is in progress.
async fn until_serves(host: &RunningHost, name: &str, number: u64) -> PluginStatus {
    until(host, name, &format!("generation {number} of {name}"), |status| {
        generation(status) == Some(number) && status.desired.runs && status.rollout.is_none()
    })
    .await
}

fn generation(status: &PluginStatus) -> Option<u64> {
    status.serving.as_ref().map(|serving| serving.generation)
}

fn digest(status: &PluginStatus) -> Option<Digest> {
    status.serving.as_ref().map(|serving| serving.digest)
}

async fn change(host: &RunningHost, change: PluginChange) -> PluginChangeResult {
    host.host.plugins.change_and_wait(Actor::Embedder, change).await.unwrap()
}

fn refusal(host: &RunningHost, change: PluginChange) -> ChangeRefused {
    host.host.plugins.begin_change(Actor::Embedder, change).expect_err("the change is rejected")
}

/// Starts a rollout that does not end by itself, and waits until it reaches this stage.
async fn start_rollout(host: &RunningHost, name: &str, text: &str, stage: SwapStage) {
    write_manifest(host, name, text);
    until(host, name, &format!("the {stage}"), |status| {
        status.rollout.as_ref().is_some_and(|rollout| rollout.stage == Some(stage))
    })
    .await;
}

/// A swap to a complete manifest.
fn swap(name: &str, text: &str, plan: RolloutOverride) -> PluginChange {
    PluginChange::Swap(name.into(), ManifestPatch { manifest: Some(text.into()), ..ManifestPatch::default() }, plan)
}

/// Its steps, and its result.
async fn steps(host: &RunningHost, change: PluginChange) -> (Vec<ChangeStep>, PluginChangeResult) {
    let mut observed = host.host.plugins.begin_change(Actor::Embedder, change).unwrap();
    let mut steps = Vec::new();
    while let Some(step) = observed.recv().await {
        if let ChangeStep::Ended(ending) = step {
            return (steps, ending);
        }
        steps.push(step);
    }
    panic!("no result: {steps:?}");
}

/// The note of a stage.
fn note(steps: &[ChangeStep], wanted: SwapStage) -> String {
    let found = steps.iter().find_map(|step| match step {
        ChangeStep::Passed { stage, note, .. } if *stage == wanted => note.clone(),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no {wanted} in {steps:?}"))
}

fn audit(host: &RunningHost, plugin: &str) -> Vec<AuditEntry> {
    let entries = host.host.plugins.audit().read(1_000).unwrap();
    entries.into_iter().filter(|entry| entry.plugin == plugin).collect()
}

/// Actions and outcomes, oldest first.
fn audited_actions(host: &RunningHost, plugin: &str) -> Vec<String> {
    let words = |entry: AuditEntry| {
        let outcome = entry.outcome.map(|verdict| format!("{verdict:?}")).unwrap_or_default();
        format!("{} {outcome}", entry.action.as_str())
    };
    audit(host, plugin).into_iter().map(words).collect()
}

/// Waits until the audit log has exactly these entries: a new generation serves before the old one has stopped and the
/// entry is written.
async fn until_done(host: &RunningHost, plugin: &str, wanted: &[&str]) {
    eventually(&format!("{wanted:?}"), PATIENCE, || (audited_actions(host, plugin) == wanted).then_some(())).await;
}

/// Waits until all accepted pushes are delivered.
async fn until_delivered(host: &RunningHost, name: &str) {
    eventually("all pushes to be delivered", PATIENCE, || {
        let ledger = host.ledger(name);
        (ledger.accepted() > 0 && ledger.delivered() == ledger.accepted()).then_some(())
    })
    .await;
}
