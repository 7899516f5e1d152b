//! From what the directory wants to what runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::change::Caller;
use super::directory::Found;
use super::entry::{Entry, Failed};
use super::record::Identity;
use super::swap::{Order, Turn};
use super::{Inner, State};
use crate::audit::Action;
use crate::dispatch::SlotConfig;
use crate::messages::count_noun;
use crate::plugin::change::{ChangeOutcome, Ending, Plan, Stage, Step};
use crate::plugin::manifest::Manifest;
use crate::plugin::offering::OFFERED_NOW;
use crate::plugin::rollout::Care;
use crate::plugin::rollout::progress::Teller;
use crate::plugin::status::Desired;

/// After which a plugin that could not start, and of which nothing serves, may be tried again.
const REST: Duration = Duration::from_secs(25);

impl Inner {
    /// Makes every plugin what the directory wants it to be, those of other names beside each other.
    pub(super) async fn reconcile(self: &Arc<Self>, caller: &Caller) -> Result<Vec<Ending>, String> {
        if !self.dir.is_dir() {
            // An empty directory wants no plugins. One that is not there wants nothing.
            return Err(format!("{} is no directory; put it back in its place", self.dir.display()));
        }
        let found = self.look().await?;
        let gone: Vec<Arc<str>> = self.entries(|entries| {
            entries.keys().filter(|name| !found.iter().any(|found| found.name == **name)).cloned().collect()
        });
        let mut work = JoinSet::new();
        for name in gone {
            let (inner, caller) = (self.clone(), caller.clone());
            work.spawn(async move { inner.gone(&caller, name).await });
        }
        for found in found {
            let (inner, caller) = (self.clone(), caller.clone());
            let action = if self.entry(&found.name, |_| ()).is_some() { Action::Swap } else { Action::Load };
            work.spawn(async move { Some(inner.settle(&caller, found, Plan::default(), action).await) });
        }
        Ok(work.join_all().await.into_iter().flatten().collect())
    }

    /// The same for somebody who waits: the endings of plugins that changed come as news.
    pub(super) async fn reconcile_told(self: &Arc<Self>, caller: &Caller) {
        let quiet = Caller { teller: Teller::default(), ..caller.clone() };
        let (verdict, message) = match self.reconcile(&quiet).await {
            Err(problem) => (ChangeOutcome::Failed, problem),
            Ok(endings) => {
                let bad = |ending: &&Ending| !matches!(ending.verdict, ChangeOutcome::Done | ChangeOutcome::Unchanged);
                let changed = endings.iter().filter(|ending| ending.verdict != ChangeOutcome::Unchanged);
                for Ending { plugin, stage, message, .. } in changed.clone() {
                    let (plugin, stage, text) = (plugin.clone(), stage.unwrap_or(Stage::Publish), message.clone());
                    caller.teller.tell(Step::News { plugin, stage, text });
                }
                let (all, bad) = (endings.len(), endings.iter().filter(bad).count());
                let words = format!(
                    "{} looked at, {} changed, {bad} not as wanted",
                    count_noun(all, "manifest"),
                    count_noun(changed.count() - bad, "plugin")
                );
                (if bad == 0 { ChangeOutcome::Done } else { ChangeOutcome::Failed }, words)
            }
        };
        caller.end("", None, verdict, &message);
    }

    /// Makes one plugin what its manifest wants, unless it is so, is on its way, or was found not to do.
    pub(super) async fn settle(self: &Arc<Self>, caller: &Caller, found: Found, plan: Plan, action: Action) -> Ending {
        let Found { name, file, manifest } = found;
        let fresh = manifest.as_ref().map(Manifest::slot_config).unwrap_or_default();
        self.open(&name, &file, fresh);
        let (manifest, identity) = match self.meant(&file, manifest).await {
            Ok(meant) => meant,
            Err(problem) => return self.unreadable(caller, &name, problem),
        };
        self.pause_as_written(caller, &manifest).await;
        if let Some(ending) = self.nothing_to_do(&manifest, identity, false) {
            caller.teller.tell(Step::Ended(ending.clone()));
            return ending;
        }
        if let Some(newer) = self.newer(&manifest).await {
            return Box::pin(self.settle(caller, newer, plan, action)).await;
        }
        // Unless it brings just this: somebody else may have looked at the same file.
        self.entry(&name, |entry| {
            let others = entry.under_way.iter().filter(|swap| !swap.brings(identity));
            others.for_each(|swap| swap.progress.abort("its manifest wants something else now"));
        });
        let turn = self.turn(&name).await;
        // It may have been changed or done meanwhile, by whoever had the turn before.
        let found = self.newer(&manifest).await;
        let found = found.unwrap_or(Found { name, file, manifest: Ok(manifest) });
        self.settle_in_turn(caller, found, plan, action, turn).await
    }

    /// The same for whoever has the turn.
    pub(super) async fn settle_in_turn(
        self: &Arc<Self>,
        caller: &Caller,
        found: Found,
        plan: Plan,
        action: Action,
        turn: Turn,
    ) -> Ending {
        let Found { name, file, manifest } = found;
        if self.entry(&name, |_| ()).is_none() {
            // Whoever had the turn before took the plugin away.
            drop(turn);
            return Box::pin(self.settle(caller, Found { name, file, manifest }, plan, action)).await;
        }
        let (manifest, identity) = match self.meant(&file, manifest).await {
            Ok(meant) => meant,
            Err(problem) => return self.unreadable(caller, &name, problem),
        };
        // A retry is the word that what was tried before is waiting for.
        if let Some(ending) = self.nothing_to_do(&manifest, identity, action == Action::Retry) {
            caller.teller.tell(Step::Ended(ending.clone()));
            return ending;
        }
        let pending = self.entry(&name, |entry| entry.record.pending.clone()).flatten();
        // The care that was asked for when it was begun, be it that the host ended or the attempt failed meanwhile.
        let asked = pending.filter(|pending| pending.identity == identity);
        let plan = asked.map_or(plan, |pending| plan.or(pending.plan));
        let order = Order { artifact: Some(identity.artifact), ..Order::new(manifest, plan, action) };
        self.swap(&caller.who, order, &caller.teller, turn).await
    }

    async fn meant(
        self: &Arc<Self>,
        file: &Path,
        manifest: Result<Manifest, String>,
    ) -> Result<(Manifest, Identity), String> {
        let manifest = manifest?;
        let identity = self.identity(&manifest).await.map_err(|problem| format!("{}: {problem}", file.display()))?;
        Ok((manifest, identity))
    }

    /// A manifest that was changed by hand, in nothing but that.
    async fn pause_as_written(self: &Arc<Self>, caller: &Caller, manifest: &Manifest) {
        let (name, paused) = (&manifest.name, manifest.paused);
        if self.entry(name, |entry| entry.paused == paused) != Some(false) {
            return;
        }
        // Whoever changes the plugin now does that too, or it is seen at the next look.
        let turn = self.entry(name, |entry| entry.turn.clone().try_lock_owned().ok()).flatten();
        if turn.is_none() || self.newer(manifest).await.is_some() {
            return;
        }
        let changed = self.entry(name, |entry| {
            let changes = entry.paused != paused && entry.under_way.is_none() && entry.serving.is_some();
            if changes {
                entry.pause(paused);
            }
            changes
        });
        if changed == Some(true) {
            let action = if paused { Action::Pause } else { Action::Resume };
            self.written(&caller.who, name, action, self.runs(name), ChangeOutcome::Done, "its manifest says so").await;
        }
    }

    /// What its file says now, where that is something else: a command may have written it since it was read.
    async fn newer(self: &Arc<Self>, read: &Manifest) -> Option<Found> {
        let found = self.look_at(&read.name).await?;
        let same = found.manifest.as_ref().is_ok_and(|manifest| manifest.text == read.text);
        (!same).then_some(found)
    }

    /// Why there is nothing to do, if so. `again` is whether what was tried before is tried once more.
    fn nothing_to_do(&self, manifest: &Manifest, wanted: Identity, again: bool) -> Option<Ending> {
        let name = &manifest.name;
        let (message, verdict, stage, serving) = self.entry(name, |entry| {
            let runs = entry.running() == Some(wanted);
            entry.desired = Desired { digest: Some(wanted.artifact), problem: None, runs };
            let (message, verdict) = entry.reason_to_stay(wanted, &manifest.care, again)?;
            let stage =
                entry.failure.as_ref().filter(|_| verdict != ChangeOutcome::Unchanged).map(|failed| failed.stage);
            Some((message, verdict, stage, entry.serving.as_ref().map(|generation| generation.number)))
        })??;
        let plugin = name.to_string();
        Some(Ending { plugin, verdict, serving, stage, message, grants: Vec::new() })
    }

    fn unreadable(&self, caller: &Caller, name: &Arc<str>, problem: String) -> Ending {
        let news = self.entry(name, |entry| {
            let news = entry.failure.as_ref().is_none_or(|known| known.reason != problem);
            entry.desired = Desired { digest: None, problem: Some(problem.clone()), runs: false };
            entry.fail(Failed { identity: None, stage: Stage::Fetch, reason: problem.clone(), at: SystemTime::now() });
            news
        });
        if news == Some(true) {
            self.phase(name, 0, "failed", problem.clone());
        }
        let ending = Ending { serving: self.serving(name), ..failed(name, problem) };
        caller.teller.tell(Step::Ended(ending.clone()));
        ending
    }

    /// The slot of that name; one that is open keeps its settings until another generation is published.
    pub(super) fn open(&self, name: &Arc<str>, file: &Path, config: SlotConfig) {
        let first = self.entries(|entries| {
            if let Some(entry) = entries.get_mut(name) {
                file.clone_into(&mut entry.file);
                return false;
            }
            let first = !self.dispatch.has_slots();
            // Only this room opens slots under plugins' names; another's is served all the same.
            let opened = self.dispatch.open(name, config);
            let slot = opened.ok().or_else(|| self.dispatch.slot(name));
            let slot = slot.expect("a slot that cannot be opened is open");
            entries.insert(name.clone(), Entry::new(slot, file.to_owned()));
            first
        });
        // At the start no client has looked yet.
        if first && self.started.load(Ordering::SeqCst) {
            tracing::warn!(plugin = &**name, "{OFFERED_NOW}");
        }
    }
}

impl Entry {
    /// Why what is wanted is not begun: it serves, it is on its way, or it was tried and this is not `again`.
    fn reason_to_stay(&mut self, wanted: Identity, care: &Care, again: bool) -> Option<(String, ChangeOutcome)> {
        let (on_its_way, other) = match &self.under_way {
            Some(swap) => (swap.brings(wanted), swap.written && !swap.brings(wanted)),
            None => (false, false),
        };
        if self.running() == Some(wanted) {
            if other {
                // It would take the place of what is wanted.
                return None;
            }
            self.failure = None;
            return Some(("it is what serves already".into(), ChangeOutcome::Unchanged));
        }
        if on_its_way {
            return Some(("it is on its way".into(), ChangeOutcome::Unchanged));
        }
        if again {
            self.failure = None;
            return None;
        }
        // Other settings for an artifact that was refused are a change of the manifest, and are tried.
        let refusal = self.record.refusal(wanted).filter(|refusal| refusal.identity == wanted);
        if let Some(refusal) = refusal.cloned() {
            let (at, verdict) = (refusal.at, refusal.verdict);
            let reason = format!("it was {}; {}", refusal.words(), self.way_out(wanted, care));
            self.failure = Some(Failed { identity: Some(wanted), stage: refusal.stage, reason: reason.clone(), at });
            return Some((reason, verdict));
        }
        let failed = self.failure.as_ref().filter(|failed| failed.identity == Some(wanted))?;
        // Where nothing serves there is nothing to disturb, and what kept it from starting may be over.
        let again = self.serving.is_none() && matches!(failed.stage, Stage::Fetch | Stage::Start);
        let rested = failed.at.elapsed().is_ok_and(|rested| rested >= REST);
        (!(again && rested)).then(|| (failed.reason.clone(), ChangeOutcome::Failed))
    }

    /// What is wanted does not run; what serves does.
    pub(super) fn fail(&mut self, failed: Failed) {
        self.desired.runs = false;
        self.failure = Some(failed);
        if self.serving.is_none() {
            self.state = State::Failed;
            self.slot.set_serving(false);
        }
    }
}

pub(super) fn failed(name: &str, message: String) -> Ending {
    let (plugin, stage) = (name.to_owned(), Some(Stage::Fetch));
    Ending { plugin, verdict: ChangeOutcome::Failed, serving: None, stage, message, grants: Vec::new() }
}
