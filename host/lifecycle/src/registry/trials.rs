//! The trials of a candidate: connects the rollout stages with recent pushes, the serving generation and the slot's
//! lanes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::PluginsInner;
use crate::change::{ChangeOutcome, SwapStage};
use crate::generation::{Candidate, Generation};
use crate::generation_stats::GenerationStats;
use crate::manifest::Manifest;
use crate::rollout::progress::SwapProgress;
use crate::rollout::{RolloutPolicy, RolloutStopped, Score, canary, self_test, shadow};
use barnabas_pipeline::dispatch::LaneSet;
use barnabas_pipeline::event::Events;
use barnabas_runtime::capability::egress::{Egress, EgressMode, RequestCapture};
use barnabas_runtime::capability::log::{GuestLogLine, GuestLogMode, LogSink};
use barnabas_runtime::instance::Blueprint;

impl PluginsInner {
    /// The stats of the serving generation, and whether the plugin is paused.
    pub(super) fn live(&self, name: &str) -> Option<(Arc<GenerationStats>, bool)> {
        self.entry(name, |entry| Some((entry.serving.as_ref()?.stats.clone(), entry.paused))).flatten()
    }

    pub(super) async fn self_test(
        &self,
        name: &Arc<str>,
        blueprint: &Blueprint,
        care: &RolloutPolicy,
    ) -> Result<((), Option<String>), RolloutStopped> {
        let captured = Arc::new(self.capture(name, care));
        let blueprint = self.isolated(name, blueprint, captured.clone());
        let (slot, words) = (self.entry(name, |entry| entry.slot.clone()), blueprint.log.clone());
        let slot = slot.ok_or_else(|| RolloutStopped::host_failure(SwapStage::SelfTest))?;
        let pushes = self_test::select_pushes(&slot, self.dispatch.recent().newest());
        let test = self.guests.handle().spawn(self_test::run(blueprint, captured, pushes));
        let found = test.await.map_err(|_| RolloutStopped::host_failure(SwapStage::SelfTest))?;
        let told = |line: GuestLogLine| GuestLogLine { text: format!("self-test: {}", line.text), ..line };
        self.keep_log_lines(name, words.recent().into_iter().map(told).collect());
        found.map(|note| ((), Some(note))).map_err(|reason| RolloutStopped::failed(SwapStage::SelfTest, reason))
    }

    pub(super) async fn shadow(
        &self,
        name: &Arc<str>,
        blueprint: &Blueprint,
        care: &RolloutPolicy,
        progress: &Arc<SwapProgress>,
    ) -> Result<((), Option<String>), RolloutStopped> {
        let captured = Arc::new(self.capture(name, care).without_capture());
        let blueprint = Arc::new(self.isolated(name, blueprint, captured));
        blueprint.egress.set_recording(true);
        let live = self.entry(name, |entry| {
            let live = entry.serving.as_ref()?;
            Some((live.mirror.attach(), EgressWatch::begin(&live.blueprint.egress)))
        });
        let (copies, _watched) =
            live.flatten().ok_or_else(|| RolloutStopped::failed(SwapStage::Shadow, "nothing serves"))?;
        let (news, care) = (progress.clone(), care.clone());
        let compared = shadow::run(blueprint, copies, care, move |text| news.report(SwapStage::Shadow, text));
        let task = AbortOnDrop(self.guests.handle().spawn(compared));
        task.done().await.map(|note| ((), Some(note)))
    }

    /// The candidate serves a share of the lanes; if it is worse, the serving generation gets all lanes back.
    pub(super) async fn canary(
        &self,
        manifest: &Manifest,
        candidate: Candidate,
        live: Arc<GenerationStats>,
        care: &RolloutPolicy,
        progress: &Arc<SwapProgress>,
    ) -> Result<Generation, RolloutStopped> {
        let name = &manifest.name;
        let slot = self
            .entry(name, |entry| entry.slot.clone())
            .ok_or_else(|| RolloutStopped::host_failure(SwapStage::Canary))?;
        let none = LaneSet::Only(BTreeSet::new());
        let generation = candidate.serve(&slot, none, manifest.instances, self.events.clone(), self.guests.handle());
        // It has no lanes yet, so it has not leased a batch before this.
        generation.set_on_trial(true);
        let giving_back = ReturnLanesOnDrop { inner: self, name };
        let pair = LaneSplit { inner: self, name, live, candidate: &generation, progress };
        let judged = progress.run_stage(SwapStage::Canary, async {
            canary::run(&pair, slot.lanes(), care).await.map(|note| ((), Some(note)))
        });
        // After success both may lease every lane until the candidate is published: each batch goes to one of them.
        let Err(mut stop) = judged.await else { return Ok(generation) };
        if stop.verdict != ChangeOutcome::Aborted {
            stop.reason.extend(last_error(&generation.stats));
        }
        // First stop its leases and return the lanes. Its leased batches are returned soon, and their lanes belong to
        // the serving generation then.
        generation.stop_leasing();
        drop(giving_back);
        generation.retire(CANARY_STOP_TIMEOUT).await;
        slot.retry_now();
        Err(stop)
    }

    /// Replies to captured requests with the recorded responses of the serving generation, or with the manifest's
    /// reply.
    fn capture(&self, name: &str, care: &RolloutPolicy) -> RequestCapture {
        let answers = self.entry(name, |entry| entry.recorded_answers.clone()).unwrap_or_default();
        RequestCapture::replaying(answers, care.reply.clone()).enforcing_grants()
    }

    /// A blueprint of the same receiver with captured requests and discarded state.
    fn isolated(&self, name: &Arc<str>, blueprint: &Blueprint, captured: Arc<RequestCapture>) -> Blueprint {
        let (grants, mode) = (blueprint.egress.grants().clone(), EgressMode::Capture(captured));
        Blueprint {
            egress: Egress::new(name.clone(), grants, mode, Events::new()),
            log: Arc::new(LogSink::new(name.clone(), 0, GuestLogMode::RingOnly)),
            state: blueprint.state.trial_overlay(),
            ..blueprint.clone()
        }
    }
}

/// How long a failed canary may take to finish its leased batches.
const CANARY_STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns every lane to the serving generation when dropped.
struct ReturnLanesOnDrop<'a> {
    inner: &'a PluginsInner,
    name: &'a str,
}

impl Drop for ReturnLanesOnDrop<'_> {
    fn drop(&mut self) {
        self.inner.entry(self.name, |entry| entry.serving.iter().for_each(|serving| serving.set_lanes(entry.lanes())));
    }
}

/// The last error of the candidate.
fn last_error(stats: &GenerationStats) -> Option<String> {
    let words = stats.snapshot().messages;
    let said = words.misconfigured.or(words.last_error.map(|error| error.text))?;
    Some(format!("; its last error: {said}"))
}

/// Inspects the requests of the serving generation until dropped.
struct EgressWatch(Egress);

impl EgressWatch {
    fn begin(egress: &Egress) -> Self {
        egress.set_recording(true);
        Self(egress.clone())
    }
}

impl Drop for EgressWatch {
    fn drop(&mut self) {
        self.0.set_recording(false);
    }
}

/// A task that is aborted when its caller is dropped.
struct AbortOnDrop(tokio::task::JoinHandle<Result<String, RolloutStopped>>);

impl AbortOnDrop {
    async fn done(mut self) -> Result<String, RolloutStopped> {
        (&mut self.0).await.unwrap_or_else(|_| Err(RolloutStopped::host_failure(SwapStage::Shadow)))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct LaneSplit<'a> {
    inner: &'a PluginsInner,
    name: &'a str,
    live: Arc<GenerationStats>,
    candidate: &'a Generation,
    progress: &'a SwapProgress,
}

impl canary::CanaryPair for LaneSplit<'_> {
    fn scores(&self) -> (Score, Score) {
        (self.live.score(), self.candidate.stats.score())
    }

    fn set_candidate_lanes(&self, candidates: BTreeSet<usize>) {
        let (theirs, rest) = canary::split(candidates);
        self.candidate.set_lanes(theirs);
        self.inner.entry(self.name, |entry| entry.serving.iter().for_each(|live| live.set_lanes(rest.clone())));
    }

    fn report(&self, text: String) {
        self.progress.report(SwapStage::Canary, text);
    }
}
