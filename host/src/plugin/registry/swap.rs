//! A swap from its first stage to its last, and what is written down of it.

use std::sync::Arc;
use std::time::SystemTime;

use super::entry::{Failed, UnderWay};
use super::record::{Identity, KIND, Pending, Record, Refusal, Release};
use super::{Inner, State};
use crate::audit::{self, Action};
use crate::capability::log::GuestLogLine;
use crate::plugin::change::{Actor, ChangeOutcome, Ending, Plan, Stage, Step};
use crate::plugin::digest::Digest;
use crate::plugin::generation::{Candidate, Generation};
use crate::plugin::manifest::{Manifest, edit};
use crate::plugin::rollout::progress::{Progress, Teller};
use crate::plugin::rollout::{Care, Stop};
use crate::plugin::status::Desired;

/// What is to serve, and how it is let in.
pub(super) struct Order {
    pub(super) manifest: Manifest,
    /// What is asked of its rollout this once.
    pub(super) plan: Plan,
    /// What the manifest said before, where a command asks for another: that is written once the candidate has passed
    /// its self-test.
    pub(super) commit: Option<String>,
    /// Of a generation that is brought back after a restart.
    pub(super) number: Option<u64>,
    /// Where it is known beforehand.
    pub(super) artifact: Option<Digest>,
    /// For the audit log.
    pub(super) action: Action,
}

impl Order {
    /// Of a manifest that stands in its file.
    pub(super) fn new(manifest: Manifest, plan: Plan, action: Action) -> Self {
        Self { manifest, plan, commit: None, number: None, artifact: None, action }
    }

    /// How carefully it is let in. What served before needs no trial. What was refused has the rollout that it had
    /// then, whoever brings it; all lanes at once need a word of their own.
    fn care(&self, refusal: Option<&Refusal>) -> Care {
        if matches!(self.action, Action::Rollback | Action::Restore) {
            return Care { self_test: false, ..Care::default() };
        }
        let care = &self.manifest.care;
        let had = refusal.map(|refusal| refusal.rollout(care)).unwrap_or_default();
        care.with(had).with(self.plan)
    }

    fn identity(&self, artifact: Digest) -> Identity {
        Identity { artifact, meaning: self.manifest.meaning }
    }
}

/// What becomes the serving generation.
enum Ready {
    Candidate(Candidate),
    /// It has some of the lanes already.
    Canary(Generation),
}

impl Inner {
    /// Does it in the plugin's turn, which is over once the new generation serves: whoever comes next need not wait
    /// until the old one is gone. Told, audited and remembered.
    pub(super) async fn swap(self: &Arc<Self>, who: &Actor, order: Order, teller: &Teller, turn: Turn) -> Ending {
        let name = order.manifest.name.clone();
        let number = self.number(&order);
        let progress = Arc::new(Progress::new(name.clone(), number, teller.clone(), self.events.clone()));
        let asked = self.entry(&name, |entry| entry.serving.as_ref().map(|serving| serving.asks())).flatten();
        let record = self.entry(&name, |entry| {
            let (progress, meaning) = (progress.clone(), order.manifest.meaning);
            let swap = UnderWay { progress, meaning, artifact: order.artifact, written: order.commit.is_none() };
            entry.under_way = Some(swap);
            entry.last_words.clear();
            entry.record.clone()
        });
        let record = record.unwrap_or_default();
        let before = record.serving.as_ref();
        self.phase(&name, number, "loading", order.manifest.file.display().to_string());
        let result = self.roll_out(&order, number, &record, &progress).await;
        self.entry(&name, |entry| entry.under_way = None);
        let grants = match order.number {
            // It serves again as it did.
            Some(_) => Vec::new(),
            None => grants(before, asked.unwrap_or_default(), &order.manifest, &progress),
        };
        let ending = match result {
            Ok(old) => self.served(&order, (number, old), &record, &progress, grants, turn).await,
            Err(stop) => self.stopped(&order, number, stop, &record, &progress, grants).await,
        };
        self.write_down(who, &order, before, &progress, &ending).await;
        if order.action == Action::Load && ending.verdict != ChangeOutcome::Done && !self.is_written(&order).await {
            // It was never there. Before that is told: whoever hears it may load another of that name.
            self.forget_record(&name).await;
            self.forget(&name);
        }
        teller.tell(Step::Ended(ending.clone()));
        ending
    }

    async fn is_written(&self, order: &Order) -> bool {
        let file = order.manifest.file.clone();
        self.blocking(move || file.exists()).await.unwrap_or(true)
    }

    fn number(&self, order: &Order) -> u64 {
        let next = |entry: &mut super::Entry| {
            entry.record.number += 1;
            entry.record.number
        };
        order.number.or_else(|| self.entry(&order.manifest.name, next)).unwrap_or(1)
    }

    /// Up to the moment at which the new generation serves. The old one is returned, and leases no more. `record` is
    /// what was known when it began.
    async fn roll_out(
        self: &Arc<Self>,
        order: &Order,
        number: u64,
        record: &Record,
        progress: &Arc<Progress>,
    ) -> Result<Option<Generation>, Stop> {
        let manifest = &order.manifest;
        if let Some(artifact) = order.artifact.filter(|_| order.commit.is_none()) {
            self.remember_plan(order, artifact).await?;
        }
        let (candidate, digest) = self.candidate(manifest, number, progress).await?;
        let refusal = record.refusal(order.identity(digest));
        let care = order.care(refusal);
        self.can_be_tried(order, &care, refusal.is_some())?;
        if let Some(refusal) = refusal.filter(|_| order.number.is_none()) {
            let words = refusal.words();
            progress.news(Stage::Start, format!("it was {words}; now it is tried under `{}`", care.words()));
        }
        let blueprint = candidate.blueprint.clone();
        let ready = self.tried(order, candidate, &care, progress).await;
        let ready = ready.inspect_err(|_| self.keep_words(&manifest.name, blueprint.log.recent()))?;
        let published = async { Ok((self.publish(order, digest, number, ready)?, None)) };
        progress.stage(Stage::Publish, published).await
    }

    /// A trial that somebody relies on is not left out in silence where no push can be had for it.
    fn can_be_tried(&self, order: &Order, care: &Care, refused: bool) -> Result<(), Stop> {
        let asked = order.plan.shadow.is_some() || order.plan.canary.is_some();
        let (why, remedy) = match self.live(&order.manifest.name) {
            Some((_, true)) if refused || asked => ("the plugin is paused", "resume it first"),
            None if refused => ("nothing serves that it could be compared with", "have another version serve first"),
            _ => return Ok(()),
        };
        if !care.has_trial() {
            return Ok(());
        }
        let stage = if care.shadow.is_zero() { Stage::Canary } else { Stage::Shadow };
        let (words, at_once) = (care.words(), Care::default().words());
        let reason = format!("{why}, so it cannot be tried under `{words}`; {remedy}, or let it in with `{at_once}`");
        Err(Stop::failed(stage, reason))
    }

    /// Self-test, shadow and canary, as far as they are asked for.
    async fn tried(
        self: &Arc<Self>,
        order: &Order,
        candidate: Candidate,
        care: &Care,
        progress: &Arc<Progress>,
    ) -> Result<Ready, Stop> {
        let name = &order.manifest.name;
        if care.self_test {
            progress.stage(Stage::SelfTest, self.self_test(name, &candidate.blueprint, care)).await?;
        }
        if let Some(before) = &order.commit {
            if let Some(artifact) = progress.shown().digest {
                self.remember_plan(order, artifact).await?;
            }
            self.commit(&order.manifest, before.clone()).await?;
        }
        let Some((vitals, false)) = self.live(name) else { return Ok(Ready::Candidate(candidate)) };
        if !care.shadow.is_zero() {
            progress.stage(Stage::Shadow, self.shadow(name, &candidate.blueprint, care, progress)).await?;
        }
        if care.canary >= 1.0 {
            return Ok(Ready::Candidate(candidate));
        }
        self.canary(&order.manifest, candidate, vitals, care, progress).await.map(Ready::Canary)
    }

    /// A host that ends before the candidate serves finds it in the manifest, and shall be as careful then; and so shall
    /// another attempt after one that failed.
    async fn remember_plan(&self, order: &Order, artifact: Digest) -> Result<(), Stop> {
        if order.plan == Plan::default() {
            return Ok(());
        }
        let (name, pending) = (&order.manifest.name, Pending { identity: order.identity(artifact), plan: order.plan });
        let news = self.entry(name, |entry| {
            let news = entry.record.pending.as_ref() != Some(&pending);
            entry.record.pending = Some(pending);
            news
        });
        if news != Some(true) {
            return Ok(());
        }
        let remembered = self.remember(name).await;
        remembered.map_err(|problem| Stop::failed(Stage::Publish, format!("the plan cannot be kept: {problem}")))
    }

    /// Writes the manifest, unless somebody else did since it was read.
    async fn commit(&self, manifest: &Manifest, before: String) -> Result<(), Stop> {
        let (file, text) = (manifest.file.clone(), manifest.text.clone());
        let written = self.blocking(move || edit::replace(&file, &before, &text)).await;
        let written = written.and_then(|written| written);
        let file = manifest.file.display();
        written
            .map_err(|problem| Stop::failed(Stage::Publish, format!("it cannot be written to {file}: {problem}")))?;
        // Not before: who finds this reads the file again, and must find the new one.
        self.entry(&manifest.name, |entry| entry.under_way.iter_mut().for_each(|swap| swap.written = true));
        Ok(())
    }

    /// From here on the new generation serves.
    fn publish(&self, order: &Order, artifact: Digest, number: u64, ready: Ready) -> Result<Option<Generation>, Stop> {
        let manifest = &order.manifest;
        let published = self.entry(&manifest.name, |entry| {
            if self.is_ending() {
                return Err(aborted("the host ends"));
            }
            entry.paused = manifest.paused;
            entry.slot.reconfigure(manifest.slot_config());
            let old = entry.serving.take();
            if let Some(old) = &old {
                old.cease();
                entry.lines_before = Some(old.blueprint.log.clone());
            }
            let lanes = entry.lanes();
            entry.serving = Some(match ready {
                Ready::Canary(generation) => {
                    generation.set_on_trial(false);
                    generation.set_lanes(lanes);
                    generation
                }
                Ready::Candidate(candidate) => {
                    candidate.serve(&entry.slot, lanes, manifest.instances, self.events.clone(), self.guests.handle())
                }
            });
            entry.state = if entry.paused { State::Paused } else { State::Serving };
            entry.failure = None;
            entry.slot.set_serving(true);
            // What waited for the old generation's sake need not wait for the new one's.
            entry.slot.retry_now();
            entry.record.serve(Release::of(manifest, artifact, number));
            if order.number.is_none() {
                // One that is brought back after a restart says nothing of what was refused before.
                entry.record.absolve(order.identity(artifact));
                entry.record.pending = None;
            }
            Ok(old)
        });
        published.unwrap_or_else(|| Err(aborted("the plugin was removed")))
    }

    /// It serves: remembers that, then lets the old one go.
    async fn served(
        self: &Arc<Self>,
        order: &Order,
        (number, old): (u64, Option<Generation>),
        record: &Record,
        progress: &Progress,
        grants: Vec<String>,
        turn: Turn,
    ) -> Ending {
        let name = &order.manifest.name;
        let digest = progress.shown().digest;
        self.phase(name, number, "serving", String::new());
        if order.number.is_none() {
            self.entry(name, |entry| entry.desired = Desired { digest, problem: None, runs: true });
        }
        let forgotten = self.remember(name).await.err();
        drop(turn);
        if let Some(old) = old {
            self.let_go(name, old, progress).await;
        }
        self.tidy().await;
        let mut message = format!("generation {number} serves");
        let refusal = digest.and_then(|digest| record.refusal(order.identity(digest)));
        if let Some(refusal) = refusal.filter(|_| order.number.is_none()) {
            message += &format!("; an earlier attempt of it, generation {}, was {}", refusal.number, refusal.words());
        }
        if let Some(problem) = forgotten {
            message += &format!("; a restart would not know it: {problem}");
        }
        let (plugin, verdict) = (name.to_string(), ChangeOutcome::Done);
        Ending { plugin, verdict, serving: Some(number), stage: None, message, grants }
    }

    /// Drains and retires. What it still holds at its deadline is delivered by the new one.
    async fn let_go(&self, name: &Arc<str>, mut old: Generation, progress: &Progress) {
        let (number, limits) = (old.number, old.blueprint.limits.clone());
        let drain = async {
            let in_time = old.drain(limits.deadline).await;
            ((), (!in_time).then(|| "what it held at its deadline was given back".to_owned()))
        };
        progress.finish(Stage::Drain, drain).await;
        let retire = async {
            let in_time = old.retire(limits.stop).await;
            ((), (!in_time).then(|| "it was ended at its deadline".to_owned()))
        };
        progress.finish(Stage::Retire, retire).await;
        self.phase(name, number, "retired", String::new());
    }

    /// It does not serve, and what served before does.
    async fn stopped(
        &self,
        order: &Order,
        number: u64,
        stop: Stop,
        record: &Record,
        progress: &Progress,
        grants: Vec<String>,
    ) -> Ending {
        let (name, Stop { stage, verdict, reason }) = (&order.manifest.name, stop);
        let identity = progress.shown().digest.or(order.artifact).map(|artifact| order.identity(artifact));
        let for_good =
            matches!(verdict, ChangeOutcome::RolledBack | ChangeOutcome::Inconclusive) || progress.is_given_up();
        let at = SystemTime::now();
        let refusal = identity.filter(|_| for_good).map(|identity| {
            let manifest = &order.manifest.care;
            let rollout = match order.action {
                // That it served before is no reason to let it in without a trial once it was given up.
                Action::Rollback | Action::Restore => manifest.plan(),
                _ => order.care(record.refusal(identity)).plan(),
            };
            let served = record.serving.as_ref().is_some_and(|serving| serving.identity.artifact == identity.artifact);
            let (reason, written) = (reason.clone(), manifest.plan());
            Refusal { identity, number, verdict, stage, reason, at, rollout, written, any_settings: !served }
        });
        // One that only gave way is not known to be bad: it may be wanted again.
        let known = identity.filter(|_| verdict != ChangeOutcome::Aborted || for_good);
        let mut message = format!("{}: {reason}", order.manifest.file.display());
        let refused = refusal.is_some();
        let serving = self.entry(name, |entry| {
            if let Some(refusal) = refusal {
                let identity = refusal.identity;
                entry.record.refuse(refusal);
                let remedy = entry.way_out(identity, &order.manifest.care);
                message += &format!("; it is not tried again until its manifest changes: {remedy}");
            }
            entry.fail(Failed { identity: known, stage, reason: message.clone(), at });
            entry.serving.as_ref().map(|generation| generation.number)
        });
        if refused && let Err(problem) = self.remember(name).await {
            tracing::error!("plugin `{name}`: a restart would not know that this candidate was refused: {problem}");
        }
        let phase = if verdict == ChangeOutcome::RolledBack { "rolled-back" } else { "failed" };
        self.phase(name, number, phase, message.clone());
        let serving = serving.flatten();
        Ending { plugin: name.to_string(), verdict, serving, stage: Some(stage), message, grants }
    }

    /// Writes the slot's document, as it is now.
    pub(super) async fn remember(&self, name: &Arc<str>) -> Result<(), String> {
        let Some(record) = self.entry(name, |entry| entry.record.clone()) else { return Ok(()) };
        let (store, name) = (self.store.clone(), name.clone());
        let written = self.blocking(move || store.put_record(KIND, &name, &record)).await?;
        written.map_err(|error| format!("{error:#}"))
    }

    /// Removes the slot's document.
    pub(super) async fn forget_record(&self, name: &Arc<str>) {
        let (store, key) = (self.store.clone(), name.clone());
        let removed = self.blocking(move || store.remove_record(KIND, &key).map_err(|e| format!("{e:#}"))).await;
        if let Err(problem) = removed.and_then(|removed| removed) {
            tracing::error!("plugin `{name}`: it is still remembered: {problem}");
        }
    }

    /// Lines of a self-test, and of a candidate that comes to nothing, for those who ask what it said.
    pub(super) fn keep_words(&self, name: &str, lines: Vec<GuestLogLine>) {
        self.entry(name, |entry| entry.last_words.extend(lines));
    }

    async fn write_down(
        &self,
        who: &Actor,
        order: &Order,
        before: Option<&Release>,
        progress: &Progress,
        ending: &Ending,
    ) {
        self.audited(audit::Entry {
            at: SystemTime::now(),
            who: who.to_string(),
            action: order.action,
            plugin: ending.plugin.clone(),
            from: before
                .map(|release| audit::Generation { generation: release.number, digest: release.identity.artifact }),
            to: progress.shown().digest.map(|digest| audit::Generation { generation: progress.generation(), digest }),
            grants: ending.grants.clone(),
            outcome: Some(ending.verdict),
            message: ending.message.clone(),
        })
        .await;
    }

    /// Into the audit log, whose disk no guest's thread shall wait for.
    pub(super) async fn audited(&self, entry: audit::Entry) {
        let audit = self.audit.clone();
        let _ = self.blocking(move || audit.append(entry)).await;
    }
}

/// What the candidate is granted and asks for, other than what served `before`, which asked for `asked`.
fn grants(before: Option<&Release>, asked: Vec<String>, manifest: &Manifest, progress: &Progress) -> Vec<String> {
    let old = before.and_then(|release| Manifest::parse(&manifest.file, &release.manifest).ok());
    let mut old: Vec<String> = old.map(|old| old.granted).unwrap_or_default();
    old.extend(asked);
    let mut new = manifest.granted.clone();
    new.extend(progress.asks());
    let added = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    let removed = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    added.chain(removed).collect()
}

pub(super) fn aborted(reason: &str) -> Stop {
    Stop { stage: Stage::Publish, verdict: ChangeOutcome::Aborted, reason: reason.to_owned() }
}

/// The right to change a plugin.
pub(super) type Turn = Option<tokio::sync::OwnedMutexGuard<()>>;
