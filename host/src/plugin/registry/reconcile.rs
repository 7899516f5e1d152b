//! From what the directory wants to what runs.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::change::Caller;
use super::directory::Found;
use super::entry::{Entry, Failed};
use super::record::{Identity, KIND, Record};
use super::swap::{Order, REMOVAL};
use super::{Inner, State};
use crate::audit::Action;
use crate::dispatch::SlotConfig;
use crate::plugin::change::{Actor, Ending, Plan, Stage, Step, Verdict};
use crate::plugin::manifest::{Manifest, edit};
use crate::plugin::rollout::Care;
use crate::plugin::rollout::progress::Teller;
use crate::plugin::status::Desired;

/// After which a plugin that could not start, and of which nothing serves, may be tried again.
const REST: Duration = Duration::from_secs(25);
/// How long a manifest must have been away.
const GONE: Duration = Duration::from_secs(1);

impl Inner {
    /// See [`super::Plugins::start`].
    pub(super) async fn start(self: &Arc<Self>) -> Vec<Ending> {
        let found = match self.look().await {
            Ok(found) => found,
            Err(problem) => return vec![failed("", problem)],
        };
        for Found { name, file, manifest } in &found {
            self.open(name, file, manifest.as_ref().map(Manifest::slot_config).unwrap_or_default());
        }
        let caller = Caller { who: Actor::Start, teller: Teller::default() };
        let mut endings = Vec::new();
        for found in found {
            match self.restore(&found).await {
                Some(ending) => {
                    endings.push(ending);
                    // What serves need not wait for what is wanted.
                    self.later(caller.clone(), found);
                }
                None => endings.push(self.settle(&caller, found, Plan::default(), Action::Load).await),
            }
        }
        endings
    }

    /// Brings back what served before the host ended, be it killed. None where nothing did, or where that failed.
    async fn restore(self: &Arc<Self>, found: &Found) -> Option<Ending> {
        let (store, name) = (self.store.clone(), found.name.clone());
        let record = self.blocking(move || store.record::<Record>(KIND, &name)).await;
        let record = record.and_then(|record| record.map_err(|error| format!("{error:#}")));
        let record = record.inspect_err(|problem| {
            tracing::error!("plugin `{}`: what served before the restart is not known: {problem}", found.name);
        });
        let record = record.ok().flatten()?;
        let release = record.serving.clone();
        self.entry(&found.name, |entry| {
            entry.number = record.last_number();
            entry.record = record;
        });
        let release = release?;
        let text = edit::pinned(&release.manifest, release.identity.artifact).ok()?;
        let mut manifest = Manifest::parse(&found.file, &text).ok()?;
        manifest.text = release.manifest.into();
        manifest.paused = found.manifest.as_ref().is_ok_and(|wanted| wanted.paused);
        let care = Care { self_test: false, ..Care::default() };
        let order = Order::new(manifest, Plan::default(), Action::Restore);
        let order = Order { care, number: Some(release.number), ..order };
        let _turn = self.turn(&found.name).await;
        let ending = self.swap(&Actor::Start, order, &Teller::default()).await;
        (ending.verdict == Verdict::Done).then_some(ending)
    }

    fn later(self: &Arc<Self>, caller: Caller, found: Found) {
        let Ok(under_way) = self.changes.clone().try_read_owned() else { return };
        let inner = self.clone();
        self.guests.handle().spawn(async move {
            inner.settle(&caller, found, Plan::default(), Action::Swap).await;
            drop(inner);
            drop(under_way);
        });
    }

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
            Err(problem) => (Verdict::Failed, problem),
            Ok(endings) => {
                let bad = |ending: &&Ending| !matches!(ending.verdict, Verdict::Done | Verdict::Unchanged);
                let changed = endings.iter().filter(|ending| ending.verdict != Verdict::Unchanged);
                for Ending { plugin, message, .. } in changed.clone() {
                    let text = format!("{plugin}: {message}");
                    caller.teller.tell(Step::News { plugin: plugin.clone(), stage: Stage::Publish, text });
                }
                let (all, bad) = (endings.len(), endings.iter().filter(bad).count());
                let words = format!(
                    "{all} manifests looked at, {} plugins changed, {bad} are not as wanted",
                    changed.count() - bad
                );
                (if bad == 0 { Verdict::Done } else { Verdict::Failed }, words)
            }
        };
        caller.end("", None, verdict, &message);
    }

    /// Makes one plugin what its manifest wants, unless it is so, is on its way, or was found not to do.
    pub(super) async fn settle(self: &Arc<Self>, caller: &Caller, found: Found, plan: Plan, action: Action) -> Ending {
        let Found { name, file, manifest } = found;
        let fresh = manifest.as_ref().map(Manifest::slot_config).unwrap_or_default();
        self.open_new(&name, &file, fresh);
        let wanted = match &manifest {
            Ok(manifest) => self.identity(manifest).await.map_err(|problem| format!("{}: {problem}", file.display())),
            Err(problem) => Err(problem.clone()),
        };
        let (manifest, identity) = match (manifest, wanted) {
            (Ok(manifest), Ok(identity)) => (manifest, identity),
            (_, Err(problem)) | (Err(problem), _) => return self.unreadable(caller, &name, problem),
        };
        if let Some(ending) = self.nothing_to_do(&name, &manifest, identity) {
            caller.teller.tell(Step::Ended(ending.clone()));
            return ending;
        }
        if let Some(newer) = self.newer(&manifest).await {
            return Box::pin(self.settle(caller, newer, plan, action)).await;
        }
        self.supersede(&name, "its manifest wants something else now");
        let turn = self.turn(&name).await;
        if let Some(newer) = self.newer(&manifest).await {
            drop(turn);
            return Box::pin(self.settle(caller, newer, plan, action)).await;
        }
        // It may have been done meanwhile, by whoever had the turn before.
        if let Some(ending) = self.nothing_to_do(&name, &manifest, identity) {
            caller.teller.tell(Step::Ended(ending.clone()));
            return ending;
        }
        let order = Order { artifact: Some(identity.artifact), ..Order::new(manifest, plan, action) };
        self.swap(&caller.who, order, &caller.teller).await
    }

    /// What its file says now, where that is something else: a command may have written it since it was read.
    async fn newer(self: &Arc<Self>, read: &Manifest) -> Option<Found> {
        let found = self.look_at(&read.name).await?;
        let same = found.manifest.as_ref().is_ok_and(|manifest| manifest.text == read.text);
        (!same).then_some(found)
    }

    /// Why there is nothing to do, if so.
    fn nothing_to_do(&self, name: &Arc<str>, manifest: &Manifest, wanted: Identity) -> Option<Ending> {
        let (message, verdict, serving) = self.entry(name, |entry| {
            let runs = entry.running() == Some(wanted);
            entry.desired = Desired { digest: Some(wanted.artifact), problem: None, runs };
            if entry.paused != manifest.paused && entry.under_way.is_none() {
                entry.pause(manifest.paused);
            }
            let (message, verdict) = entry.reason_to_stay(wanted)?;
            Some((message, verdict, entry.serving.as_ref().map(|generation| generation.number)))
        })??;
        let (plugin, stage) = (name.to_string(), None);
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

    /// A plugin whose manifest is gone.
    async fn gone(self: &Arc<Self>, caller: &Caller, name: Arc<str>) -> Option<Ending> {
        let new = self.entry(&name, |entry| entry.under_way.is_some() && entry.serving.is_none());
        if new == Some(true) {
            // A command is loading it, and has not written its manifest yet.
            return None;
        }
        // Editors take the old file away before they put the new one in its place.
        sleep(GONE).await;
        let file = self.entry(&name, |entry| entry.file.clone())?;
        if file.exists() {
            return None;
        }
        self.supersede(&name, "its manifest is gone");
        let _turn = self.turn(&name).await;
        if file.exists() {
            return None;
        }
        let before = self.runs(&name);
        let message = self.vanish(&name).await;
        tracing::info!(plugin = &*name, who = %caller.who, "{message}");
        self.written(&caller.who, &name, Action::Remove, before, Verdict::Done, &message);
        let (plugin, verdict) = (name.to_string(), Verdict::Done);
        Some(Ending { plugin, verdict, serving: None, stage: None, message, grants: Vec::new() })
    }

    /// Takes a plugin away, with the turn held: what is queued is delivered for a while, then shed. What became of it.
    pub(super) async fn vanish(&self, name: &Arc<str>) -> String {
        let taken = self.entries(|entries| entries.remove(name));
        let Some(mut entry) = taken else { return "it was gone before".into() };
        entry.slot.set_serving(false);
        let drained = entry.slot.drain(Instant::now() + REMOVAL).await;
        self.dispatch.close(name);
        if let Some(mut generation) = entry.serving.take() {
            let limits = generation.blueprint.limits.clone();
            generation.drain(limits.deadline).await;
            generation.retire(limits.stop).await;
            self.phase(name, generation_number(&entry), "retired", "removed".into());
        }
        let (store, key) = (self.store.clone(), name.clone());
        let forgotten = self.blocking(move || store.remove_record(KIND, &key).map_err(|e| format!("{e:#}"))).await;
        if let Err(problem) = forgotten.and_then(|forgotten| forgotten) {
            tracing::error!("plugin `{name}`: it is still remembered: {problem}");
        }
        self.tidy().await;
        let ledger = entry.slot.ledger();
        if drained {
            format!("it is gone: {ledger}")
        } else {
            format!("it is gone, and what it could not deliver with it: {ledger}")
        }
    }

    /// A plugin that never came to be.
    pub(super) fn forget(&self, name: &Arc<str>) {
        self.entries(|entries| entries.remove(name));
        self.dispatch.close(name);
    }

    /// The slot of that name, opened or set up anew.
    pub(super) fn open(&self, name: &Arc<str>, file: &Path, config: SlotConfig) {
        let known = self.entry(name, |entry| entry.slot.reconfigure(config.clone()));
        if known.is_none() {
            self.open_new(name, file, config);
        }
    }

    /// The slot of that name; one that is open keeps its settings until another generation is published.
    fn open_new(&self, name: &Arc<str>, file: &Path, config: SlotConfig) {
        self.entries(|entries| {
            if let Some(entry) = entries.get_mut(name) {
                file.clone_into(&mut entry.file);
                return;
            }
            // Only this room opens slots under plugins' names; another's is served all the same.
            let opened = self.dispatch.open(name, config);
            let slot = opened.ok().or_else(|| self.dispatch.slot(name));
            let slot = slot.expect("a slot that cannot be opened is open");
            entries.insert(name.clone(), Entry::new(slot, file.to_owned()));
        });
    }
}

impl Entry {
    /// Why what is wanted is not begun: it serves, it is on its way, or it was tried.
    fn reason_to_stay(&mut self, wanted: Identity) -> Option<(String, Verdict)> {
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
            return Some(("it is what serves already".into(), Verdict::Unchanged));
        }
        if on_its_way {
            return Some(("it is on its way".into(), Verdict::Unchanged));
        }
        if let Some(refusal) = self.record.refused.clone().filter(|refusal| refusal.identity == wanted) {
            let reason = format!("it was refused at {}: {}; `retry` tries it again", refusal.stage, refusal.reason);
            let at = refusal.at;
            self.failure = Some(Failed { identity: Some(wanted), stage: refusal.stage, reason: reason.clone(), at });
            return Some((reason, Verdict::RolledBack));
        }
        let failed = self.failure.as_ref().filter(|failed| failed.identity == Some(wanted))?;
        // Where nothing serves there is nothing to disturb, and what kept it from starting may be over.
        let again = self.serving.is_none() && matches!(failed.stage, Stage::Fetch | Stage::Start);
        let rested = failed.at.elapsed().is_ok_and(|rested| rested >= REST);
        (!(again && rested)).then(|| (failed.reason.clone(), Verdict::Failed))
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

fn generation_number(entry: &Entry) -> u64 {
    entry.record.serving.as_ref().map_or(0, |release| release.number)
}

fn failed(name: &str, message: String) -> Ending {
    let (plugin, stage) = (name.to_owned(), Some(Stage::Fetch));
    Ending { plugin, verdict: Verdict::Failed, serving: None, stage, message, grants: Vec::new() }
}
