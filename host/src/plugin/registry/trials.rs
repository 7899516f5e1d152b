//! What a candidate is tried on before it serves, with the parts that are here: recent pushes, the live generation, the
//! slot's lanes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Inner;
use crate::capability::egress::{Egress, EgressMode, RequestCapture};
use crate::capability::log::{GuestLogLine, GuestLogMode, LogSink};
use crate::dispatch::LaneSet;
use crate::event::Events;
use crate::plugin::change::{ChangeOutcome, Stage};
use crate::plugin::generation::{Candidate, Generation};
use crate::plugin::instance::Blueprint;
use crate::plugin::manifest::Manifest;
use crate::plugin::rollout::progress::Progress;
use crate::plugin::rollout::{Care, Score, Stop, canary, self_test, shadow};
use crate::plugin::vitals::Vitals;

impl Inner {
    /// What the generation that serves used and said, and whether it is paused.
    pub(super) fn live(&self, name: &str) -> Option<(Arc<Vitals>, bool)> {
        self.entry(name, |entry| Some((entry.serving.as_ref()?.vitals.clone(), entry.paused))).flatten()
    }

    pub(super) async fn self_test(
        &self,
        name: &Arc<str>,
        blueprint: &Blueprint,
        care: &Care,
    ) -> Result<((), Option<String>), Stop> {
        let captured = Arc::new(self.captured(name, care));
        let blueprint = self.harmless(name, blueprint, captured.clone());
        let (slot, words) = (self.entry(name, |entry| entry.slot.clone()), blueprint.log.clone());
        let slot = slot.ok_or_else(|| Stop::broke(Stage::SelfTest))?;
        let pushes = self_test::pushes(&slot, self.dispatch.recent().newest());
        let test = self.guests.handle().spawn(self_test::run(blueprint, captured, pushes));
        let found = test.await.map_err(|_| Stop::broke(Stage::SelfTest))?;
        let told = |line: GuestLogLine| GuestLogLine { text: format!("self-test: {}", line.text), ..line };
        self.keep_words(name, words.recent().into_iter().map(told).collect());
        found.map(|note| ((), Some(note))).map_err(|reason| Stop::failed(Stage::SelfTest, reason))
    }

    pub(super) async fn shadow(
        &self,
        name: &Arc<str>,
        blueprint: &Blueprint,
        care: &Care,
        progress: &Arc<Progress>,
    ) -> Result<((), Option<String>), Stop> {
        let captured = Arc::new(self.captured(name, care).without_capture());
        let blueprint = Arc::new(self.harmless(name, blueprint, captured));
        blueprint.egress.set_recording(true);
        let live = self.entry(name, |entry| {
            let live = entry.serving.as_ref()?;
            Some((live.mirror.hang(), Watched::begin(&live.blueprint.egress)))
        });
        let (copies, _watched) = live.flatten().ok_or_else(|| Stop::failed(Stage::Shadow, "nothing serves"))?;
        let (news, care) = (progress.clone(), care.clone());
        let compared = shadow::run(blueprint, copies, care, move |text| news.news(Stage::Shadow, text));
        let task = Ended(self.guests.handle().spawn(compared));
        task.done().await.map(|note| ((), Some(note)))
    }

    /// The candidate with a share of the lanes; all are the live generation's again if it is found worse.
    pub(super) async fn canary(
        &self,
        manifest: &Manifest,
        candidate: Candidate,
        live: Arc<Vitals>,
        care: &Care,
        progress: &Arc<Progress>,
    ) -> Result<Generation, Stop> {
        let name = &manifest.name;
        let slot = self.entry(name, |entry| entry.slot.clone()).ok_or_else(|| Stop::broke(Stage::Canary))?;
        let none = LaneSet::Only(BTreeSet::new());
        let generation = candidate.serve(&slot, none, manifest.instances, self.events.clone(), self.guests.handle());
        // It has no lanes yet, so nothing was lent to it before this.
        generation.set_on_trial(true);
        let giving_back = GivingBack { inner: self, name };
        let pair = Lanes { inner: self, name, live, candidate: &generation, progress };
        let judged = progress
            .stage(Stage::Canary, async { canary::run(&pair, slot.lanes(), care).await.map(|note| ((), Some(note))) });
        // Where it was sound, both may lease every lane until it is published: each batch goes to one of them.
        let Err(mut stop) = judged.await else { return Ok(generation) };
        if stop.verdict != ChangeOutcome::Aborted {
            stop.reason.extend(last_words(&generation.vitals));
        }
        // First of all nothing more goes to it, and everything to the other. What it holds is given back soon: its lanes
        // belong to the other too.
        generation.cease();
        drop(giving_back);
        generation.retire(FAREWELL).await;
        slot.retry_now();
        Err(stop)
    }

    /// Answers captured requests as the live generation's were, else as the manifest says.
    fn captured(&self, name: &str, care: &Care) -> RequestCapture {
        let answers = self.entry(name, |entry| entry.answers.clone()).unwrap_or_default();
        RequestCapture::replaying(answers, care.reply.clone()).enforcing_grants()
    }

    /// The same receiver, of which nothing leaves the host and nothing stays.
    fn harmless(&self, name: &Arc<str>, blueprint: &Blueprint, captured: Arc<RequestCapture>) -> Blueprint {
        let (grants, mode) = (blueprint.egress.grants().clone(), EgressMode::Capture(captured));
        Blueprint {
            egress: Egress::new(name.clone(), grants, mode, Events::new()),
            log: Arc::new(LogSink::new(name.clone(), 0, GuestLogMode::RingOnly)),
            state: blueprint.state.trial_overlay(),
            ..blueprint.clone()
        }
    }
}

/// How long a canary that came to nothing may still take for what it holds.
const FAREWELL: Duration = Duration::from_secs(2);

/// When dropped, every lane is the live generation's again.
struct GivingBack<'a> {
    inner: &'a Inner,
    name: &'a str,
}

impl Drop for GivingBack<'_> {
    fn drop(&mut self) {
        self.inner.entry(self.name, |entry| entry.serving.iter().for_each(|serving| serving.set_lanes(entry.lanes())));
    }
}

/// Why the candidate failed, as far as it was said.
fn last_words(vitals: &Vitals) -> Option<String> {
    let words = vitals.read().words;
    let said = words.misconfigured.or(words.last_error.map(|error| error.text))?;
    Some(format!("; its last error: {said}"))
}

/// The live generation's requests are looked into for as long as this lives.
struct Watched(Egress);

impl Watched {
    fn begin(egress: &Egress) -> Self {
        egress.set_recording(true);
        Self(egress.clone())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.set_recording(false);
    }
}

/// A task that ends with whoever waits for it.
struct Ended(tokio::task::JoinHandle<Result<String, Stop>>);

impl Ended {
    async fn done(mut self) -> Result<String, Stop> {
        (&mut self.0).await.unwrap_or_else(|_| Err(Stop::broke(Stage::Shadow)))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Lanes<'a> {
    inner: &'a Inner,
    name: &'a str,
    live: Arc<Vitals>,
    candidate: &'a Generation,
    progress: &'a Progress,
}

impl canary::Pair for Lanes<'_> {
    fn scores(&self) -> (Score, Score) {
        (self.live.score(), self.candidate.vitals.score())
    }

    fn share(&self, candidates: BTreeSet<usize>) {
        let (theirs, rest) = canary::halves(candidates);
        self.candidate.set_lanes(theirs);
        self.inner.entry(self.name, |entry| entry.serving.iter().for_each(|live| live.set_lanes(rest.clone())));
    }

    fn news(&self, text: String) {
        self.progress.news(Stage::Canary, text);
    }
}
