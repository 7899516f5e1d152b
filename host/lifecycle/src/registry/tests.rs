mod proof;
mod rollouts;

use std::fs;

use super::*;
use crate::change::{ChangeOutcome, ChangeRefusedCode, ManifestPatch, RolloutOverride, SwapStage};
use crate::manifest::Manifest;
use barnabas_pipeline::event::ListenerGuard;
use barnabas_runtime::testing;
use barnabas_runtime::testing::{TestGuest, payload};

/// A directory of plugins and a host for them.
struct RegistryFixture {
    dir: tempfile::TempDir,
    dispatch: Dispatch,
    events: Events,
    plugins: Plugins,
}

impl RegistryFixture {
    fn new() -> Self {
        let (dir, events) = (tempfile::tempdir().unwrap(), Events::new());
        let dispatch = Dispatch::new(events.clone());
        let config = PluginsConfig {
            dir: dir.path().to_owned(),
            data_dir: Some(dir.path().join("data")),
            ..PluginsConfig::default()
        };
        let (store, audit) = (Store::open(&dir.path().join("data")).unwrap(), AuditLog::disabled());
        let plugins = Plugins::new(&config, store, audit, dispatch.clone(), events.clone()).unwrap();
        Self { dir, dispatch, events, plugins }
    }

    fn plugin(&self, name: &str, guest: &TestGuest, more: &str) -> PathBuf {
        fs::write(self.dir.path().join(format!("{name}.wasm")), guest.module()).unwrap();
        self.manifest(
            name,
            &format!("artifact = \"{name}.wasm\"\n{more}\n[batch]\nlinger = \"0ms\"\n[rollout]\nself-test = false\n"),
        )
    }

    fn manifest(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        path
    }

    async fn load(&self) -> Vec<PluginChangeResult> {
        self.plugins.start().await
    }

    async fn change(&self, change: PluginChange) -> PluginChangeResult {
        self.plugins.change_and_wait(Actor::Embedder, change).await.unwrap()
    }

    async fn reload(&self, name: &str) -> PluginChangeResult {
        self.change(PluginChange::Retry(name.into(), RolloutOverride::default())).await
    }

    fn status(&self, name: &str) -> PluginStatus {
        self.plugins.status().into_iter().find(|status| status.name == name).unwrap()
    }

    fn push(&self, client: &str) {
        self.dispatch.dispatch(payload(client, 1));
    }

    /// Waits until everything pushed is settled for good.
    async fn settled(&self, name: &str) -> PluginStatus {
        let slot = self.dispatch.slot(name).unwrap();
        let far = Instant::now() + Duration::from_secs(300);
        assert!(slot.drain(far).await, "still held: {:?}", slot.ledger());
        assert!(slot.ledger().is_balanced());
        self.status(name)
    }

    /// Phases as they pass.
    fn phases(&self) -> (ListenerGuard, Arc<Mutex<Vec<String>>>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = heard.clone();
        let listening = self.events.listen(&[Topic::PluginPhase], move |event| {
            if let EventData::PluginPhase { slot, generation, phase, .. } = &event.data {
                notes.lock().unwrap().push(format!("{slot} {generation} {phase}"));
            }
        });
        (listening, heard)
    }
}

fn delivered(status: &PluginStatus) -> u64 {
    status.queue.ledger.delivered.pushes
}

#[tokio::test]
async fn a_directory_is_loaded_and_served() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("one", &TestGuest::default(), "");
    let _ = fixture.plugin("two", &TestGuest { export: testing::OTHER, ..TestGuest::default() }, "");
    let _ = fixture.manifest(".hidden", "nonsense");
    let loaded: Vec<_> = fixture.load().await.into_iter().map(|e| (e.plugin, e.serving)).collect();
    assert_eq!(loaded, [("one".to_owned(), Some(1)), ("two".to_owned(), Some(1))]);
    (0..50).for_each(|n| fixture.push(&format!("c{n}")));
    let status = fixture.settled("one").await;
    assert_eq!((status.state, delivered(&status)), (PluginState::Serving, 50));
    let serving = status.serving.unwrap();
    assert!(serving.stats.cpu > Duration::ZERO && serving.stats.memory_peak >= 65_536, "{serving:?}");
    assert_eq!(serving.contract.as_deref(), Some("0.1.0"));
    serde_json::to_string(&fixture.plugins.status()).unwrap();
    let said = loop {
        if let Some(error) = fixture.status("two").serving.unwrap().stats.messages.last_error {
            break error.text;
        }
        // It is tried as soon as its turn comes.
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(said, testing::MESSAGE);
}

#[tokio::test]
async fn a_directory_that_is_missing_holds_no_plugins() {
    let fixture = RegistryFixture::new();
    assert!(fixture.load().await.is_empty());
    assert!(!fixture.dispatch.has_slots());
    fs::rename(fixture.dir.path(), fixture.dir.path().with_extension("away")).unwrap();
    let away = fixture.change(PluginChange::Reconcile).await;
    assert!(away.verdict == ChangeOutcome::Failed && away.message.contains("restore it"), "{away:?}");
    fs::rename(fixture.dir.path().with_extension("away"), fixture.dir.path()).unwrap();
}

#[tokio::test]
async fn a_plugin_that_cannot_be_loaded_keeps_its_slot_and_does_not_affect_others() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("a-good", &TestGuest::default(), "");
    let _ = fixture.manifest("b-typo", "artefact = \"x\"");
    let _ = fixture.manifest("c-absent", "artifact = \"nowhere.wasm\"");
    let _ = fixture.manifest("d-garbage", "artifact = \"d-garbage.toml\"");
    let zeros = "0".repeat(64);
    let _ = fixture.plugin("e-digest", &TestGuest::default(), &format!("digest = \"sha256:{zeros}\""));
    let _ = fixture.plugin("f-refuses", &TestGuest { start: testing::START_REFUSED, ..TestGuest::default() }, "");
    let _ = fixture.plugin("g-traps", &TestGuest { start: testing::TRAP, ..TestGuest::default() }, "");
    let _ = fixture.manifest("H", "artifact = \"a-good.wasm\"");
    let mut results = fixture.load().await;
    results.sort_by(|a, b| a.plugin.cmp(&b.plugin));
    let bad = |ending: &PluginChangeResult| ending.verdict != ChangeOutcome::Done;
    let errors: Vec<_> = results.into_iter().map(|e| if bad(&e) { e.message } else { String::new() }).collect();
    let causes = [
        "",
        "did you mean `artifact`?",
        "nowhere.wasm: No such file",
        "not WebAssembly (it begins with `arti`)",
        "`digest`: sha256:0000",
        "`settings`: the receiver refused to start: words of a guest!!",
        "`artifact`: the receiver failed to start: wasm `unreachable`",
        "rename the file to lower-case",
    ];
    assert_eq!(errors.len(), causes.len());
    for (error, cause) in errors.iter().zip(causes) {
        assert!(error.contains(cause) && !error.contains('\n'), "{error:?} lacks {cause:?}");
        assert!(error.is_empty() || error.contains(".toml: "), "{error} names no file");
    }
    fixture.push("c");
    assert_eq!(delivered(&fixture.settled("a-good").await), 1);
    for name in ["b-typo", "c-absent", "d-garbage", "e-digest", "f-refuses", "g-traps", "misnamed-h"] {
        let status = fixture.settled(name).await;
        assert_eq!(status.state, PluginState::Failed, "{name}");
        assert_eq!(status.queue.ledger.shed["no-receiver"].pushes, 1, "{name}: offered all the same");
        assert!(status.failure.unwrap().contains(&status.file.display().to_string()), "{name}");
    }
}

#[tokio::test]
async fn a_new_generation_replaces_the_old_one_or_leaves_it() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("sink", &TestGuest { export: testing::OTHER, ..TestGuest::default() }, "");
    fixture.load().await;
    let (_listening, phases) = fixture.phases();
    let _ = fixture.plugin("sink", &TestGuest { start: testing::TRAP, ..TestGuest::default() }, "");
    assert_eq!(fixture.reload("sink").await.verdict, ChangeOutcome::Failed);
    let status = fixture.status("sink");
    assert_eq!((status.state, status.serving.unwrap().generation), (PluginState::Serving, 1), "the old one stays");
    assert!(status.failure.unwrap().contains("unreachable"), "and it is said why");
    let _ = fixture.plugin("sink", &TestGuest::default(), "");
    fixture.push("c");
    assert_eq!(fixture.reload("sink").await.serving, Some(3));
    let status = fixture.settled("sink").await;
    assert_eq!((status.serving.as_ref().unwrap().generation, status.failure.as_deref()), (3, None));
    assert_eq!(delivered(&status), 1, "what the old one could not take, the new one took");
    let wanted = ["sink 2 loading", "sink 2 failed", "sink 3 loading", "sink 3 serving", "sink 1 retired"];
    assert_eq!(*phases.lock().unwrap(), wanted);
}

#[tokio::test]
async fn lines_of_the_generation_before_outlive_a_swap() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("sink", &TestGuest { export: testing::TRAP, ..TestGuest::default() }, "");
    fixture.load().await;
    fixture.push("c");
    while fixture.plugins.log("sink").unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _ = fixture.plugin("sink", &TestGuest::default(), "");
    assert_eq!(fixture.reload("sink").await.serving, Some(2));
    let lines = fixture.plugins.log("sink").unwrap();
    let broke = |line: &GuestLogLine| line.generation == 1 && line.text.starts_with("failed (trap): ");
    assert!(lines.iter().any(broke), "{lines:?}");
}

#[tokio::test]
async fn an_impossible_manifest_leaves_the_serving_generation_and_is_reported() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("sink", &TestGuest::default(), "");
    fixture.load().await;
    let swap = || {
        PluginChange::Swap(
            "sink".into(),
            ManifestPatch { grant_http: vec!["a:1".into()], ..ManifestPatch::default() },
            RolloutOverride::default(),
        )
    };
    for text in ["artifact = \"nowhere.wasm\"", "artefact = \"x\"", "= what"] {
        let _ = fixture.manifest("sink", text);
        for ending in [fixture.reload("sink").await, fixture.change(swap()).await] {
            assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Failed, Some(1)), "{ending:?}");
        }
    }
}

#[tokio::test]
async fn a_stale_manifest_gives_way_to_what_a_command_wrote_since() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("sink", &TestGuest::default(), "");
    fixture.load().await;
    let inner = &fixture.plugins.0;
    let stale = inner.read_manifest(&"sink".into()).await.unwrap();
    let other = TestGuest { export: testing::OTHER, ..TestGuest::default() }.module();
    let digest = fixture.plugins.store_artifact(other.into()).await.unwrap();
    let wanted = ManifestPatch { digest: Some(digest), ..ManifestPatch::default() };
    fixture.change(PluginChange::Swap("sink".into(), wanted, RolloutOverride::default())).await;
    let caller = change::ChangeCaller { who: Actor::File, steps: StepSender::default() };
    let ending =
        inner.settle(&caller, stale, RolloutOverride::default(), barnabas_storage::audit::AuditAction::Swap).await;
    assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Unchanged, Some(2)), "{ending:?}");
    assert_eq!(fixture.status("sink").serving.unwrap().digest, digest);
}

#[tokio::test]
async fn concurrent_reconciliations_do_not_abort_each_others_swap() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("sink", &TestGuest::default(), "");
    fixture.load().await;
    for instances in [1, 3, 1, 3] {
        let _ = fixture.plugin("sink", &TestGuest::default(), &format!("[limits]\ninstances = {instances}"));
        let look = || fixture.plugins.change_and_wait(Actor::File, PluginChange::Reconcile);
        let (a, b, c) = tokio::join!(look(), look(), look());
        for ending in [a, b, c] {
            assert_eq!(ending.unwrap().verdict, ChangeOutcome::Done);
        }
        let status = fixture.status("sink");
        assert_eq!((status.serving.unwrap().instances, status.failure), (instances, None));
    }
}

#[tokio::test]
async fn the_rollout_override_of_a_command_survives_a_kill() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin("sink", &TestGuest::default(), "");
    fixture.load().await;
    let file = fixture.plugin("sink", &TestGuest::default(), "[limits]\ninstances = 3");
    let inner = &fixture.plugins.0;
    // What a host leaves that is killed in the canary of a command.
    let identity = inner.identity(&Manifest::read(&file).unwrap()).await.unwrap();
    let pending =
        record::PendingRollout { identity, plan: RolloutOverride { canary: Some(5.0), ..RolloutOverride::default() } };
    inner.entry("sink", |entry| entry.record.pending = Some(pending));
    inner.store_record(&"sink".into()).await.unwrap();
    inner.entry("sink", |entry| entry.record.pending = None);
    inner.read_records().await.unwrap();
    let _steps = fixture.plugins.begin_change(Actor::Start, PluginChange::Reconcile).unwrap();
    let stage = || fixture.status("sink").rollout.and_then(|rollout| rollout.stage);
    while stage() != Some(SwapStage::Canary) {
        assert_eq!(fixture.status("sink").serving.unwrap().generation, 1, "it is let in without the care");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(fixture.change(PluginChange::Abort("sink".into())).await.verdict, ChangeOutcome::Done);
    let status = fixture.status("sink");
    assert_eq!((status.serving.unwrap().generation, status.refused.unwrap().verdict), (1, ChangeOutcome::Aborted));
    assert!(inner.entry("sink", |entry| entry.record.pending.is_none()).unwrap());
}

#[tokio::test]
async fn a_push_that_breaks_every_instance_is_dropped_alone() {
    let fixture = RegistryFixture::new();
    // Traps on a push with 7 points.
    let picky = "(local $i i32) (loop $each
        (if (i32.eq (call $points (local.get $batch) (local.get $i)) (i32.const 7)) (then (unreachable)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $each (i32.lt_u (local.get $i) (call $len (local.get $batch)))))
        (local.set $answer (i32.const 192))";
    let _ = fixture.plugin("picky", &TestGuest { export: picky, ..TestGuest::default() }, "[limits]\ninstances = 1");
    fixture.load().await;
    for n in 0..10 {
        fixture.dispatch.dispatch(payload("client", if n == 4 { 7 } else { 1 }));
    }
    let status = fixture.settled("picky").await;
    assert_eq!(delivered(&status), 9);
    assert_eq!(status.queue.ledger.dropped["trap"].pushes, 1);
    let stats = status.serving.unwrap().stats;
    assert!(stats.crashes >= 2, "once, and again on a fresh instance: {stats:?}");
    assert_eq!(stats.live, 1, "and a new one is there");
}

#[tokio::test]
async fn shutdown_delivers_what_is_queued_and_stops_instances() {
    let fixture = RegistryFixture::new();
    let lingers = "artifact = \"sink.wasm\"\n[batch]\nlinger = \"30m\"\n[rollout]\nself-test = false\n";
    let _ = fixture.plugin("sink", &TestGuest { stop: testing::TRAP, ..TestGuest::default() }, "");
    let _ = fixture.manifest("sink", lingers);
    fixture.load().await;
    let slot = fixture.dispatch.slot("sink").unwrap();
    fixture.push("c");
    let stats = fixture.plugins.0.entries(|all| all["sink"].serving.as_ref().unwrap().stats.clone());
    assert!(fixture.plugins.shutdown(Duration::from_secs(300)).await);
    assert_eq!(slot.ledger().delivered.pushes, 1, "it does not linger now");
    assert!(stats.snapshot().messages.last_error.unwrap().text.contains("unreachable"), "stop was called");
    assert_eq!((stats.snapshot().live, fixture.status("sink").state), (0, PluginState::Stopped));
}

#[tokio::test]
async fn a_deadline_ends_a_generation_and_its_work_is_given_back() {
    let fixture = RegistryFixture::new();
    let _ = fixture.plugin(
        "spins",
        &TestGuest { export: testing::SPIN, ..TestGuest::default() },
        "[limits]\ncpu = \"1h\"\ndeadline = \"1h\"",
    );
    fixture.load().await;
    let slot = fixture.dispatch.slot("spins").unwrap();
    fixture.push("c");
    while slot.ledger().in_flight.pushes == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!fixture.plugins.shutdown(Duration::from_millis(100)).await);
    let ledger = slot.ledger();
    assert_eq!((ledger.in_flight.pushes, ledger.queued.pushes), (0, 1));
}
