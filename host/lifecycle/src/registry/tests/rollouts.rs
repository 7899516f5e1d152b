//! What was refused: under which rollout it comes again, and the ways back from it.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::change::RolloutOverride;
use barnabas_base::units::HumanDuration;

pub(super) const QUARTER: RolloutOverride = RolloutOverride { self_test: None, shadow: None, canary: Some(25.0) };
pub(super) const ALL: RolloutOverride = RolloutOverride { self_test: None, shadow: None, canary: Some(100.0) };

/// Pushes of many clients, until it is dropped.
pub(super) struct Traffic(tokio::task::JoinHandle<()>);

impl Traffic {
    fn to(fixture: &RegistryFixture) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let dispatch = fixture.dispatch.clone();
        Self(tokio::spawn(async move {
            loop {
                for _ in 0..4 {
                    dispatch.dispatch(payload(&format!("c{}", NEXT.fetch_add(1, Ordering::Relaxed) % 200), 1));
                }
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
        }))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn bad() -> TestGuest {
    TestGuest { export: testing::OTHER, ..TestGuest::default() }
}

/// Takes everything, and is another artifact than the others of its kind.
fn good(content_type_of: &'static str) -> TestGuest {
    TestGuest { stop: content_type_of, ..TestGuest::default() }
}

/// Candidates that fail in every way there is, and some that take everything.
pub(super) fn artifacts() -> Vec<(TestGuest, bool)> {
    let fails = [
        testing::OTHER,
        testing::TOO_LARGE,
        testing::TRAP,
        testing::SPIN,
        testing::UNAVAILABLE,
        testing::REJECTED,
        testing::REJECTS_FIRST,
        testing::MISCOUNTS,
        testing::RETRIES_FIRST,
    ];
    let fails = fails.into_iter().map(|export| (TestGuest { export, ..TestGuest::default() }, false));
    fails.chain([(good("(drop (i32.const 2))"), true), (good("(drop (i32.const 3))"), true)]).collect()
}

impl RegistryFixture {
    /// A host whose `sink` takes everything, and pushes for it.
    pub(super) async fn serving(step: &str) -> (Self, Traffic) {
        let fixture = Self::new();
        fs::write(fixture.dir.path().join("sink.wasm"), TestGuest::default().module()).unwrap();
        let rollout = format!("[rollout]\nself-test = false\nbatches = 5\nstep = {step:?}\n[limits]\ncpu = \"50ms\"\n");
        let _ = fixture.manifest("sink", &format!("artifact = \"sink.wasm\"\n[batch]\nlinger = \"0ms\"\n{rollout}"));
        fixture.load().await;
        let traffic = Traffic::to(&fixture);
        (fixture, traffic)
    }

    pub(super) async fn kept(&self, guest: &TestGuest) -> Digest {
        self.plugins.store_artifact(guest.module().into()).await.unwrap()
    }

    pub(super) async fn swap_to(&self, digest: Digest, plan: RolloutOverride) -> PluginChangeResult {
        let wanted = ManifestPatch { digest: Some(digest), ..ManifestPatch::default() };
        self.change(PluginChange::Swap("sink".into(), wanted, plan)).await
    }

    async fn retry(&self, plan: RolloutOverride) -> PluginChangeResult {
        self.change(PluginChange::Retry("sink".into(), plan)).await
    }

    async fn back(&self, number: Option<u64>, force: bool) -> Result<PluginChangeResult, ChangeRefused> {
        self.plugins.change_and_wait(Actor::Embedder, PluginChange::Rollback("sink".into(), number, force)).await
    }

    pub(super) fn runs(&self) -> (Option<u64>, Option<Digest>) {
        let serving = self.status("sink").serving;
        (serving.as_ref().map(|serving| serving.generation), serving.map(|serving| serving.digest))
    }

    pub(super) fn written(&self) -> String {
        fs::read_to_string(self.dir.path().join("sink.toml")).unwrap()
    }

    /// Waits until nothing is under way.
    pub(super) async fn idle(&self) {
        let turn = self.plugins.0.turn("sink").await;
        drop(turn);
        while self.status("sink").rollout.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Another host on the same directories, after this one has ended.
    async fn again(self) -> Self {
        self.plugins.shutdown(Duration::from_secs(60)).await;
        again(self, true).await
    }
}

/// Another host on the same directories; the queues of one that was killed stay, so that what becomes of them is seen.
pub(super) async fn again(fixture: RegistryFixture, anew: bool) -> RegistryFixture {
    let RegistryFixture { dir, dispatch, events, plugins } = fixture;
    drop(plugins);
    let data = dir.path().join("data");
    let store = loop {
        match Store::open(&data) {
            Ok(store) => break store,
            Err(barnabas_storage::store::StoreOpenError::Locked(_)) => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            Err(error) => panic!("{error}"),
        }
    };
    let config = PluginsConfig { dir: dir.path().to_owned(), data_dir: Some(data), ..PluginsConfig::default() };
    let dispatch = if anew { Dispatch::new(events.clone()) } else { dispatch };
    let plugins = Plugins::new(&config, store, AuditLog::disabled(), dispatch.clone(), events.clone()).unwrap();
    let fixture = RegistryFixture { dir, dispatch, events, plugins };
    fixture.load().await;
    fixture
}

fn rolled_back(ending: &PluginChangeResult) {
    assert_eq!((ending.verdict, ending.stage), (ChangeOutcome::RolledBack, Some(SwapStage::Canary)), "{ending:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_candidate_gets_its_canary_again_however_it_returns() {
    let (fixture, traffic) = RegistryFixture::serving("60s").await;
    let good = fixture.runs().1;
    let bad = fixture.kept(&bad()).await;
    let ending = fixture.swap_to(bad, QUARTER).await;
    rolled_back(&ending);
    assert!(ending.message.contains("`retry` tries it again under the same rollout (`--canary 25%`)"), "{ending:?}");
    rolled_back(&fixture.retry(RolloutOverride::default()).await);
    drop(traffic);

    let fixture = fixture.again().await;
    let traffic = Traffic::to(&fixture);
    let ending = fixture.change(PluginChange::Reconcile).await;
    assert_eq!((ending.verdict, fixture.runs().1), (ChangeOutcome::Failed, good), "{ending:?}");
    rolled_back(&fixture.retry(RolloutOverride::default()).await);
    // Its manifest is edited: that is another thing to be tried, of the same artifact.
    let edited = fixture.written().replace("[limits]", "[limits]\ninstances = 3");
    let _ = fixture.manifest("sink", &edited);
    fixture.change(PluginChange::Reconcile).await;
    let refused = fixture.status("sink").refused.unwrap();
    assert_eq!((refused.stage, refused.digest, fixture.runs().1), (SwapStage::Canary, bad, good), "{refused:?}");
    // The file is handed over once more.
    rolled_back(&fixture.swap_to(bad, RolloutOverride::default()).await);
    let ending = fixture.swap_to(bad, ALL).await;
    assert_eq!((ending.verdict, fixture.runs().1), (ChangeOutcome::Done, Some(bad)), "{ending:?}");
    assert!(ending.message.contains("was refused at canary"), "{ending:?}");
    assert!(fixture.status("sink").refused.is_none());
    drop(traffic);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_override_of_a_command_survives_a_failed_change_and_a_restart() {
    let (fixture, traffic) = RegistryFixture::serving("60s").await;
    let bad = fixture.kept(&bad()).await;
    drop(traffic);
    let wanted = ManifestPatch { digest: Some(bad), ..ManifestPatch::default() };
    let _steps =
        fixture.plugins.begin_change(Actor::Embedder, PluginChange::Swap("sink".into(), wanted, QUARTER)).unwrap();
    let at_canary = |fixture: &RegistryFixture| {
        fixture.status("sink").rollout.is_some_and(|shown| shown.stage == Some(SwapStage::Canary))
    };
    while !at_canary(&fixture) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Another swap ends it, and comes to nothing.
    let refuses = fixture.kept(&TestGuest { start: testing::START_REFUSED, ..TestGuest::default() }).await;
    assert_eq!(fixture.swap_to(refuses, RolloutOverride::default()).await.verdict, ChangeOutcome::Failed);
    let _steps = fixture.plugins.begin_change(Actor::File, PluginChange::Reconcile).unwrap();
    while !at_canary(&fixture) {
        assert_eq!(fixture.runs().0, Some(1), "it is let in without the canary");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let fixture = fixture.again().await;
    while !at_canary(&fixture) {
        assert_eq!(fixture.runs().0, Some(1), "it is let in without the canary");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.change(PluginChange::Abort("sink".into())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_plugin_refuses_a_candidate_that_needs_a_trial() {
    let (fixture, traffic) = RegistryFixture::serving("60s").await;
    let bad = fixture.kept(&bad()).await;
    rolled_back(&fixture.swap_to(bad, QUARTER).await);
    fixture.change(PluginChange::Pause("sink".into())).await;
    for ending in [fixture.retry(RolloutOverride::default()).await, fixture.swap_to(bad, QUARTER).await] {
        assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Failed, Some(1)), "{ending:?}");
        assert!(ending.message.contains("the plugin is paused") && ending.message.contains("`--canary 100%`"));
    }
    let ending = fixture.retry(ALL).await;
    assert_eq!((ending.verdict, fixture.runs().1), (ChangeOutcome::Done, Some(bad)), "{ending:?}");
    drop(traffic);
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_returns_to_what_served_before_the_desired_version() {
    let (fixture, traffic) = RegistryFixture::serving("60s").await;
    let (first, text) = (fixture.runs().1, fixture.written());
    let second = fixture.kept(&good("(drop (i32.const 2))")).await;
    assert_eq!(fixture.swap_to(second, RolloutOverride::default()).await.serving, Some(2));
    let before = fixture.written();
    let bad = fixture.kept(&bad()).await;
    rolled_back(&fixture.swap_to(bad, QUARTER).await);
    assert!(fixture.written().contains(&bad.to_string()));
    let ending = fixture.back(None, false).await.unwrap();
    assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Done, Some(2)), "{ending:?}");
    assert!(ending.message.contains(&format!("it wanted {bad}, which was refused at canary")), "{ending:?}");
    assert_eq!((fixture.runs(), fixture.written()), ((Some(2), Some(second)), before), "nothing was swapped");
    let status = fixture.status("sink");
    assert!(status.desired.runs && status.failure.is_none() && status.desired.digest == Some(second), "{status:?}");
    let ending = fixture.change(PluginChange::Reconcile).await;
    assert_eq!(ending.verdict, ChangeOutcome::Done, "nothing is tried again: {ending:?}");
    // What serves by its number, and then one further.
    assert_eq!(fixture.back(Some(2), false).await.unwrap().verdict, ChangeOutcome::Unchanged);
    let ending = fixture.back(None, false).await.unwrap();
    assert_eq!((ending.verdict, fixture.runs().1), (ChangeOutcome::Done, first), "{ending:?}");
    assert!(fixture.written().contains("artifact = \"sink.wasm\"") && text.contains("artifact = \"sink.wasm\""));
    drop(traffic);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_ends_the_swap_that_is_under_way_and_goes_no_further() {
    let (fixture, traffic) = RegistryFixture::serving("60s").await;
    let second = fixture.kept(&good("(drop (i32.const 2))")).await;
    fixture.swap_to(second, RolloutOverride::default()).await;
    drop(traffic);
    let wanted = ManifestPatch { digest: Some(fixture.kept(&bad()).await), ..ManifestPatch::default() };
    let _steps =
        fixture.plugins.begin_change(Actor::Embedder, PluginChange::Swap("sink".into(), wanted, QUARTER)).unwrap();
    while fixture.status("sink").rollout.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ending = fixture.back(None, false).await.unwrap();
    assert_eq!((ending.verdict, fixture.runs()), (ChangeOutcome::Done, (Some(2), Some(second))), "{ending:?}");
    assert!(fixture.written().contains(&second.to_string()), "{}", fixture.written());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_that_was_refused_since_serves_again_only_with_force() {
    let (fixture, traffic) = RegistryFixture::serving("60s").await;
    let (good, bad) = (fixture.runs().1.unwrap(), fixture.kept(&bad()).await);
    assert_eq!(fixture.swap_to(bad, ALL).await.serving, Some(2));
    assert_eq!(fixture.back(None, false).await.unwrap().serving, Some(3));
    rolled_back(&fixture.swap_to(bad, QUARTER).await);
    assert_eq!(fixture.change(PluginChange::Keep("sink".into())).await.verdict, ChangeOutcome::Done);
    assert!(fixture.status("sink").kept.iter().any(|kept| kept.generation == 2 && kept.refused.is_some()));
    for number in [None, Some(2)] {
        let refused = fixture.back(number, false).await.unwrap_err();
        assert_eq!(refused.code, ChangeRefusedCode::RefusedGeneration);
        assert!(refused.message.contains("refused at canary") && refused.message.contains("`--force`"), "{refused}");
    }
    assert_eq!(fixture.runs(), (Some(3), Some(good)));
    let ending = fixture.back(Some(2), true).await.unwrap();
    assert_eq!((ending.verdict, fixture.runs().1), (ChangeOutcome::Done, Some(bad)), "{ending:?}");
    drop(traffic);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_serves_can_be_kept_and_the_canary_of_the_manifest_stays() {
    let (fixture, traffic) = RegistryFixture::serving("60s").await;
    let good = fixture.runs().1.unwrap();
    assert_eq!(fixture.change(PluginChange::Keep("sink".into())).await.verdict, ChangeOutcome::Unchanged);
    // A file that is replaced in place, and a canary that comes with it.
    fs::write(fixture.dir.path().join("sink.wasm"), bad().module()).unwrap();
    let careful = fixture.written().replace("[rollout]", "[rollout]\ncanary = \"25%\"");
    let _ = fixture.manifest("sink", &careful);
    fixture.change(PluginChange::Reconcile).await;
    assert_eq!(fixture.status("sink").refused.unwrap().stage, SwapStage::Canary);
    let ending = fixture.change(PluginChange::Keep("sink".into())).await;
    assert_eq!((ending.verdict, ending.serving), (ChangeOutcome::Done, Some(1)), "{ending:?}");
    assert!(ending.message.contains("names the artifact by `digest` now"), "{ending:?}");
    let written = fixture.written();
    assert!(written.contains(&good.to_string()) && written.contains("canary = \"25%\""), "{written}");
    drop(traffic);
    let empty = RegistryFixture::new();
    let _ = empty.plugin("sink", &TestGuest { start: testing::TRAP, ..TestGuest::default() }, "");
    empty.load().await;
    let refused = empty.plugins.begin_change(Actor::Embedder, PluginChange::Keep("sink".into())).unwrap_err();
    assert_eq!(refused.code, ChangeRefusedCode::NothingServes);
}

/// Whatever a candidate does with copies, the slot's books know nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_self_test_and_a_shadow_lose_nothing_and_count_nothing() {
    let answers = BTreeMap::from([
        ("other", testing::OTHER),
        ("too-large", testing::TOO_LARGE),
        ("trap", testing::TRAP),
        ("spin", testing::SPIN),
        ("unavailable", testing::UNAVAILABLE),
        ("rejected", testing::REJECTED),
        ("rejects-first", testing::REJECTS_FIRST),
        ("miscounts", testing::MISCOUNTS),
        ("retries-first", testing::RETRIES_FIRST),
    ]);
    for (name, export) in answers {
        let (fixture, traffic) = RegistryFixture::serving("60s").await;
        let bad = fixture.kept(&TestGuest { export, ..TestGuest::default() }).await;
        for plan in [
            RolloutOverride {
                self_test: Some(true),
                shadow: Some(HumanDuration(Duration::from_millis(300))),
                canary: Some(100.0),
            },
            RolloutOverride {
                self_test: Some(false),
                shadow: Some(HumanDuration(Duration::from_secs(60))),
                canary: Some(100.0),
            },
        ] {
            let ending = fixture.swap_to(bad, plan).await;
            assert_ne!(ending.verdict, ChangeOutcome::Done, "{name}: {ending:?}");
            assert!(matches!(ending.stage, Some(SwapStage::SelfTest | SwapStage::Shadow)), "{name}: {ending:?}");
        }
        drop(traffic);
        let ledger = fixture.settled("sink").await.queue.ledger;
        assert_eq!(ledger.delivered, ledger.accepted, "{name}: {ledger}");
        assert_eq!((ledger.dropped.len(), ledger.shed.len(), ledger.redelivered.pushes), (0, 0, 0), "{name}");
    }
}
