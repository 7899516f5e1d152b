//! Swaps under load, successful ones and failing ones: no push is lost or reordered, and no client has to wait.
//!
//! The plain test run makes few rounds with few clients. `cargo xtask prove swap` and `cargo xtask prove swap-failures`
//! make the full number of rounds, and also check times and memory.

mod candidates;

use std::time::{Duration, Instant};

use barnabas_lifecycle::change::{ChangeOutcome, PluginChange, RolloutOverride};
use barnabas_pipeline::dispatch::SlotConfig;
use barnabas_runtime::compiler::CompileLimits;
use barnabas_tests::eventually;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::load::{Counter, Load, Rate};
use barnabas_tests::swapping::{self, StageTimes, run_change};
use barnabas_tests::waits::{QueueWaits, resident};

use candidates::FailingCandidate;

const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum queue wait of a push beyond its linger, during any swap.
const BOUND: Duration = Duration::from_millis(100);
/// From this number of rounds on, the run is a proof.
const PROOF: usize = 100;
/// Number of memory samples, four seconds each, before the memory is used as it is.
const SETTLING: usize = 10;
/// Pushes per second that a proof must reach; the load is slightly higher.
const PER_SECOND: usize = 2_000;

/// Size of the run.
struct SwapScale {
    rounds: usize,
    rate: Rate,
    proves: bool,
}

impl SwapScale {
    fn from_env(few: usize) -> Self {
        let rounds = std::env::var("BARNABAS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(few);
        let proves = rounds >= PROOF;
        let rate = if proves {
            Rate { clients: 500, per_second: PER_SECOND * 11 / 10 }
        } else {
            Rate { clients: 60, per_second: 240 }
        };
        Self { rounds, rate, proves }
    }
}

/// A host that forwards to a counting sink, and clients that push.
struct SwapScene {
    host: RunningHost,
    sink: Counter,
    load: Load,
    waits: QueueWaits,
    begun: (Instant, u64),
}

impl SwapScene {
    async fn begin(rate: Rate, compile: CompileLimits) -> Self {
        let sink = Counter::start().await;
        let mut setup = Setup::new().forwarding_as_shipped("sink", &sink.url());
        setup.compiler.limits = compile;
        let host = setup.start().await;
        assert_eq!(host.status("sink").failure, None);
        let load = Load::start(host.kafka(), rate).await;
        eventually("a push of every client", PATIENCE, || (sink.arrived().clients == rate.clients).then_some(())).await;
        let (waits, begun) = (QueueWaits::start(&host.host.events), (Instant::now(), load.acknowledged()));
        load.drain_latencies();
        Self { host, sink, load, waits, begun }
    }

    /// Resets all measurements.
    fn reset_measurements(&mut self) {
        self.begun = (Instant::now(), self.load.acknowledged());
        self.waits.drain();
    }

    /// Acknowledged pushes per second so far.
    fn rate(&self) -> f64 {
        let (since, before) = self.begun;
        (self.load.acknowledged() - before) as f64 / since.elapsed().as_secs_f64()
    }

    fn serving(&self) -> (u64, String) {
        let serving = self.host.status("sink").serving.expect("a generation serves");
        (serving.generation, serving.digest.to_string())
    }

    /// Resident memory without swaps, once it is stable: under a new load it grows for a while, with and without swaps.
    async fn settled(&self) -> u64 {
        let mut before = self.resident().await;
        for _ in 0..SETTLING {
            let now = self.resident().await;
            if now.abs_diff(before) < before / 200 {
                return now;
            }
            before = now;
        }
        before
    }

    /// Waits for stable memory only if it will be compared.
    async fn memory(&self, scale: &SwapScale) -> u64 {
        if scale.proves { self.settled().await } else { resident() }
    }

    /// The minimum of many samples, because the buffers of the load come and go.
    async fn resident(&self) -> u64 {
        let mut least = u64::MAX;
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.load.drain_latencies();
            least = least.min(resident());
        }
        least
    }

    /// Stops the load and checks that every acknowledged push arrived in order, and that none was dropped or shed.
    async fn check_and_stop(self) {
        let clients = self.sink.arrived().clients;
        let pushed = self.load.stop().await;
        assert!(pushed.refused.is_empty(), "every push was acknowledged: {pushed:?}");
        eventually("the queue to be empty", PATIENCE, || (self.host.ledger("sink").held() == 0).then_some(())).await;
        let (books, arrived) = (self.host.ledger("sink"), self.sink.arrived());
        println!("ledger: {books}");
        println!("sink:   {arrived:?}");
        assert_eq!(books.accepted(), pushed.acknowledged, "the ledger has every acknowledged push");
        assert_eq!(books.delivered(), books.accepted(), "every push was delivered: {books}");
        assert_eq!((books.shed_total(), books.dropped_total()), (0, 0), "{books}");
        assert_eq!((arrived.pushes, arrived.missing), (books.accepted(), 0), "every push arrived at the sink in order");
        assert!(arrived.repeated <= books.redelivered(), "only redelivered pushes arrived twice: {arrived:?} {books}");
        assert_eq!(arrived.clients, clients);
        self.host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn swaps_lose_nothing() {
    let scale = SwapScale::from_env(8);
    let mut scene = SwapScene::begin(scale.rate, CompileLimits::default()).await;
    let idle = scene.memory(&scale).await;
    scene.reset_measurements();
    let plugins = &scene.host.host.plugins;
    let first = scene.host.status("sink").serving.unwrap().digest;
    let other = plugins.store_artifact(swapping::version("otlp-http", "other")).await.unwrap();
    let (mut times, mut early) = (StageTimes::default(), 0);
    for round in 1..=scale.rounds {
        let wanted = if round % 2 == 1 { other } else { first };
        let swapped = run_change(plugins, swapping::swap_to("sink", wanted)).await;
        assert_eq!(swapped.ending.verdict, ChangeOutcome::Done, "swap {round}: {:?}", swapped.ending);
        assert_eq!(scene.serving(), (round as u64 + 1, wanted.to_string()), "no other swap happened");
        times.add(&swapped);
        scene.load.drain_latencies();
        // Immediately, or after one or more batches, so that swaps happen in all phases of the load.
        tokio::time::sleep(Duration::from_millis(round as u64 * 37 % 100)).await;
        if round == PROOF {
            early = scene.memory(&scale).await;
        }
    }
    let rate = scene.rate();
    let late = scene.memory(&scale).await;
    let (waits, linger) = (scene.waits.drain(), SlotConfig::default().linger);
    println!("{} swaps, {} clients, {rate:.0} pushes/s", scale.rounds, scale.rate.clients);
    print!("{times}");
    println!("waits:  {waits}; linger {linger:?}");
    let [idle_kb, early_kb, late_kb] = [idle, early, late].map(|bytes| bytes / 1024);
    println!("memory: {idle_kb} kB before any swap, {early_kb} kB after swap {PROOF}, {late_kb} kB after the last");
    if scale.proves {
        assert!(rate >= PER_SECOND as f64, "{rate:.0} pushes/s");
        assert!(waits.max <= linger + BOUND, "{waits}");
        assert!(late as f64 <= early as f64 * 1.05, "{early} bytes grew to {late}");
    }
    scene.check_and_stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_candidates_do_not_affect_delivery() {
    let scale = SwapScale::from_env(1);
    let scene = SwapScene::begin(scale.rate, candidates::COMPILE).await;
    let before = scene.serving();
    let all = candidates::all(&Setup::destination(&scene.sink.url()));
    // A proof uses as many candidates as requested; the plain run uses each kind once.
    let many = if scale.proves { scale.rounds.div_ceil(all.len()) } else { 1 };
    for candidate in all.iter().cycle().take(all.len() * many) {
        refused(&scene, candidate).await;
        // Waits until the pushes that arrived meanwhile are leased.
        let (waits, linger) = (&scene.waits, SlotConfig::default().linger);
        tokio::time::sleep(2 * (linger + BOUND)).await;
        assert_eq!(scene.serving(), before, "{}: the old generation serves", candidate.name);
        let waits = waits.drain();
        println!("{:<34} waits: {waits}", candidate.name);
        assert!(!scale.proves || waits.max <= linger + BOUND, "{}: {waits}", candidate.name);
        scene.load.drain_latencies();
    }
    let rate = scene.rate();
    println!("{} candidates, {} clients, {rate:.0} pushes/s", all.len() * many, scale.rate.clients);
    assert!(!scale.proves || rate >= PER_SECOND as f64, "{rate:.0} pushes/s");
    an_edited_manifest(&scene).await;
    assert_eq!(scene.serving(), before);
    scene.check_and_stop().await;
}

/// Requests the swap, and checks stage and cause in its one-line error.
async fn refused(scene: &SwapScene, candidate: &FailingCandidate) {
    let plugins = &scene.host.host.plugins;
    let mut wanted = candidate.wanted.clone();
    if let Some(artifact) = &candidate.artifact {
        wanted.digest = Some(plugins.store_artifact(artifact.clone()).await.unwrap());
    }
    let ending =
        run_change(plugins, PluginChange::Swap("sink".into(), wanted, RolloutOverride::default())).await.ending;
    let name = candidate.name;
    assert_eq!((ending.verdict, ending.stage), (ChangeOutcome::Failed, Some(candidate.stage)), "{name}: {ending:?}");
    for words in candidate.words {
        assert!(ending.message.contains(words), "{name}: `{}` should contain `{words}`", ending.message);
    }
    assert!(ending.message.contains("sink.toml: ") && !ending.message.contains('\n'), "{name}: {}", ending.message);
    assert_eq!(ending.serving, Some(scene.serving().0), "{name}");
    assert_eq!(scene.host.status("sink").failed.unwrap().reason, ending.message, "{name}");
}

/// A manifest that names a missing artifact is reported in the status.
async fn an_edited_manifest(scene: &SwapScene) {
    let file = scene.host.status("sink").file;
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "artifact = \"nowhere.wasm\"\n").unwrap();
    let failed = eventually("the failure in the status", PATIENCE, || {
        scene.host.status("sink").failed.filter(|failed| failed.reason.contains("nowhere.wasm"))
    })
    .await;
    assert_eq!(failed.stage, barnabas_lifecycle::change::SwapStage::Fetch);
    let retried = run_change(&scene.host.host.plugins, PluginChange::Retry("sink".into(), RolloutOverride::default()))
        .await
        .ending;
    assert_eq!((retried.verdict, retried.serving), (ChangeOutcome::Failed, Some(scene.serving().0)), "{retried:?}");
    std::fs::write(&file, good).unwrap();
    eventually("the failure to be cleared", PATIENCE, || scene.host.status("sink").failed.is_none().then_some(()))
        .await;
}
