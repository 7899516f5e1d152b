//! Measures the stages of a swap and its effect on clients: how long acknowledgements take with and without swaps, in
//! windows that alternate within one run.
//!
//! Run with `cargo bench -p barnabas-tests --bench swap`; it takes three minutes. The receiver is `plugins/otlp-http`
//! with its default settings, under the load of 200 recorded clients; each artifact is that receiver with another
//! custom section. This program is also the child process that compiles.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark ends where it stands when something it needs is not there"
)]

use std::process::ExitCode;
use std::time::Duration;

use barnabas_base::digest::Digest;
use barnabas_lifecycle::change::{ChangeOutcome, PluginChange, SwapStage};
use barnabas_runtime::compiler::{CompileChild, child};
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::load::{Counter, Load, Rate, percentile};
use barnabas_tests::swapping::{self, ChangeResult, StageTimes, median, milliseconds, run_change};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

const RATE: Rate = Rate { clients: 200, per_second: 500 };
/// Swaps per kind.
const SWAPS: usize = 40;
/// Windows with swaps; there are as many without.
const WINDOWS: usize = 8;
const WINDOW: Duration = Duration::from_secs(4);
/// Time between two swaps in a window, for artifacts that were compiled before and for new ones.
const EVERY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(1));

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "compile") {
        return child::main(words[3].parse().unwrap(), words[5].parse().unwrap());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stand = BenchHost::new().await;
        stand.stages().await;
        stand.rollbacks().await;
        stand.acknowledgements().await;
        stand.end().await;
    });
    ExitCode::SUCCESS
}

/// A host under load.
struct BenchHost {
    host: RunningHost,
    load: Load,
    _sink: Counter,
    /// Number of artifacts created so far.
    made: usize,
}

impl BenchHost {
    async fn new() -> Self {
        let sink = Counter::start().await;
        let mut setup = Setup::new().forwarding_as_shipped("sink", &sink.url());
        setup.compiler = CompileChild::this_program();
        let host = setup.start().await;
        let load = Load::start(host.kafka(), RATE).await;
        sleep(Duration::from_secs(2)).await;
        println!("{} clients, {} pushes/s, otlp-http with default settings", RATE.clients, RATE.per_second);
        Self { host, load, _sink: sink, made: 0 }
    }

    /// An artifact that has not been compiled yet.
    async fn fresh(&mut self) -> Digest {
        self.made += 1;
        let artifact = swapping::version("otlp-http", &self.made.to_string());
        self.host.host.plugins.store_artifact(artifact).await.unwrap()
    }

    async fn change(&self, wanted: PluginChange) -> ChangeResult {
        let swapped = run_change(&self.host.host.plugins, wanted).await;
        assert_eq!(swapped.ending.verdict, ChangeOutcome::Done, "{:?}", swapped.ending);
        swapped
    }

    async fn swap(&self, to: Digest) -> ChangeResult {
        self.change(swapping::swap_to("sink", to)).await
    }

    async fn stages(&mut self) {
        let (mut uncached, mut cached, mut known) = (StageTimes::default(), StageTimes::default(), Vec::new());
        for _ in 0..SWAPS {
            let fresh = self.fresh().await;
            uncached.add(&assert_compile_note(self.swap(fresh).await, "compiled"));
            known.push(fresh);
        }
        for round in 0..SWAPS {
            cached.add(&assert_compile_note(self.swap(known[round % 2]).await, "found compiled"));
        }
        println!("\nswap, artifact already compiled ({SWAPS})\n{cached}");
        println!("swap, artifact compiled during the swap ({SWAPS})\n{uncached}");
    }

    /// Rolls back to each retained generation in turn, including the oldest.
    async fn rollbacks(&mut self) {
        let (mut publish, mut start, mut kept) = (Vec::new(), Vec::new(), 0);
        for _ in 0..4 {
            let fresh = self.fresh().await;
            self.swap(fresh).await;
        }
        for round in 0..SWAPS {
            let generations: Vec<_> = self.host.status("sink").kept.iter().map(|kept| kept.generation).collect();
            kept = generations.len();
            let back = PluginChange::Rollback("sink".into(), Some(generations[round % kept]), false);
            let swapped = assert_compile_note(self.change(back).await, "found compiled");
            let started = swapped.stages[&SwapStage::Start].0;
            publish.push(swapped.published.unwrap() - started);
            start.push(started);
        }
        let most = |times: &[Duration]| milliseconds(*times.iter().max().unwrap());
        println!("manual rollback to each of {kept} retained generations ({SWAPS})");
        println!("{:<30} {:>10} {:>10}", "ms", "median", "max");
        let row = |name, times: &[Duration]| {
            println!("{name:<30} {:>10.2} {:>10.2}", milliseconds(median(times.to_vec())), most(times));
        };
        row("until it served, less start", &publish);
        row("start", &start);
        println!("goal: served within 50 ms, start excluded");
    }

    async fn acknowledgements(&mut self) {
        println!("\nacknowledgement p99, medians of {WINDOWS} windows of {WINDOW:?} each");
        println!("{:<36} {:>11} {:>11} {:>7}", "", "without, ms", "with, ms", "ratio");
        let pair = [self.fresh().await, self.fresh().await];
        for digest in pair {
            self.swap(digest).await;
        }
        self.compare("swaps of known artifacts, 4 a second", Some(pair)).await;
        self.compare("swaps with a compile, 1 a second", None).await;
        println!("goal: at most 1.10");
    }

    /// `pair`: artifacts to swap between; without it each swap uses a new artifact.
    async fn compare(&mut self, name: &str, pair: Option<[Digest; 2]>) {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for window in 0..WINDOWS * 2 {
            // Alternates which comes first, so that a drift over time affects both equally.
            let swaps = matches!(window % 4, 0 | 3);
            let p99 = self.window(swaps, pair).await;
            if swaps { with.push(p99) } else { without.push(p99) }
        }
        let (with, without) = (milliseconds(median(with)), milliseconds(median(without)));
        println!("{name:<36} {without:>11.2} {with:>11.2} {:>7.2}", with / without);
    }

    async fn window(&mut self, swaps: bool, pair: Option<[Digest; 2]>) -> Duration {
        let until = Instant::now() + WINDOW;
        let mut ticks = interval(if pair.is_some() { EVERY.0 } else { EVERY.1 });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.load.drain_latencies();
        while swaps && timeout_at(until, ticks.tick()).await.is_ok() {
            let to = match pair {
                Some([one, other]) => {
                    if self.host.status("sink").serving.unwrap().digest == one {
                        other
                    } else {
                        one
                    }
                }
                None => self.fresh().await,
            };
            self.swap(to).await;
        }
        tokio::time::sleep_until(until).await;
        let mut waits: Vec<_> = self.load.drain_latencies().into_iter().map(|(_, wait)| wait).collect();
        percentile(&mut waits, 99.0)
    }

    async fn end(self) {
        let pushed = self.load.stop().await;
        assert!(pushed.refused.is_empty(), "{pushed:?}");
        self.host.stop().await;
    }
}

/// Asserts that a swap is of the expected kind.
fn assert_compile_note(swapped: ChangeResult, how: &str) -> ChangeResult {
    assert_eq!(swapped.note(SwapStage::Compile), Some(how), "{swapped:?}");
    swapped
}
