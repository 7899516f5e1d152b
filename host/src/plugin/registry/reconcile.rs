//! From what the directory wants to what runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::change::ChangeCaller;
use super::directory::FoundManifest;
use super::entry::{LoadFailure, PluginEntry};
use super::record::GenerationIdentity;
use super::swap::{ChangeGuard, SwapOrder};
use super::{PluginState, PluginsInner};
use crate::audit::AuditAction;
use crate::dispatch::SlotConfig;
use crate::messages::count_noun;
use crate::plugin::change::{ChangeOutcome, ChangeStep, PluginChangeResult, RolloutOverride, SwapStage};
use crate::plugin::manifest::Manifest;
use crate::plugin::offering::OFFERED_NOW;
use crate::plugin::rollout::RolloutPolicy;
use crate::plugin::rollout::progress::StepSender;
use crate::plugin::status::DesiredState;

/// After which a plugin that could not start, and of which nothing serves, may be tried again.
const RETRY_AFTER: Duration = Duration::from_secs(25);

impl PluginsInner {
    /// Makes every plugin what the directory wants it to be, those of other names beside each other.
    pub(super) async fn reconcile(self: &Arc<Self>, caller: &ChangeCaller) -> Result<Vec<PluginChangeResult>, String> {
        if !self.dir.is_dir() {
            // An empty directory wants no plugins. One that is not there wants nothing.
            return Err(format!("{} is no directory; put it back in its place", self.dir.display()));
        }
        let found = self.read_manifests().await?;
        let gone: Vec<Arc<str>> = self.entries(|entries| {
            entries.keys().filter(|name| !found.iter().any(|found| found.name == **name)).cloned().collect()
        });
        let mut work = JoinSet::new();
        for name in gone {
            let (inner, caller) = (self.clone(), caller.clone());
            work.spawn(async move { inner.remove_if_gone(&caller, name).await });
        }
        for found in found {
            let (inner, caller) = (self.clone(), caller.clone());
            let action = if self.entry(&found.name, |_| ()).is_some() { AuditAction::Swap } else { AuditAction::Load };
            work.spawn(async move { Some(inner.settle(&caller, found, RolloutOverride::default(), action).await) });
        }
        Ok(work.join_all().await.into_iter().flatten().collect())
    }

    /// The same for somebody who waits: the endings of plugins that changed come as news.
    pub(super) async fn reconcile_and_report(self: &Arc<Self>, caller: &ChangeCaller) {
        let quiet = ChangeCaller { steps: StepSender::default(), ..caller.clone() };
        let (verdict, message) = match self.reconcile(&quiet).await {
            Err(problem) => (ChangeOutcome::Failed, problem),
            Ok(endings) => {
                let bad = |ending: &&PluginChangeResult| {
                    !matches!(ending.verdict, ChangeOutcome::Done | ChangeOutcome::Unchanged)
                };
                let changed = endings.iter().filter(|ending| ending.verdict != ChangeOutcome::Unchanged);
                for PluginChangeResult { plugin, stage, message, .. } in changed.clone() {
                    let (plugin, stage, text) = (plugin.clone(), stage.unwrap_or(SwapStage::Publish), message.clone());
                    caller.steps.send(ChangeStep::News { plugin, stage, text });
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
    pub(super) async fn settle(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        found: FoundManifest,
        plan: RolloutOverride,
        action: AuditAction,
    ) -> PluginChangeResult {
        let FoundManifest { name, file, manifest } = found;
        let fresh = manifest.as_ref().map(Manifest::slot_config).unwrap_or_default();
        self.open(&name, &file, fresh);
        let (manifest, identity) = match self.resolve(&file, manifest).await {
            Ok(meant) => meant,
            Err(problem) => return self.unreadable(caller, &name, problem),
        };
        self.pause_as_written(caller, &manifest).await;
        if let Some(ending) = self.outcome_without_swap(&manifest, identity, false) {
            caller.steps.send(ChangeStep::Ended(ending.clone()));
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
        let found = found.unwrap_or(FoundManifest { name, file, manifest: Ok(manifest) });
        self.settle_in_turn(caller, found, plan, action, turn).await
    }

    /// The same for whoever has the turn.
    pub(super) async fn settle_in_turn(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        found: FoundManifest,
        plan: RolloutOverride,
        action: AuditAction,
        turn: ChangeGuard,
    ) -> PluginChangeResult {
        let FoundManifest { name, file, manifest } = found;
        if self.entry(&name, |_| ()).is_none() {
            // Whoever had the turn before took the plugin away.
            drop(turn);
            return Box::pin(self.settle(caller, FoundManifest { name, file, manifest }, plan, action)).await;
        }
        let (manifest, identity) = match self.resolve(&file, manifest).await {
            Ok(meant) => meant,
            Err(problem) => return self.unreadable(caller, &name, problem),
        };
        // A retry is the word that what was tried before is waiting for.
        if let Some(ending) = self.outcome_without_swap(&manifest, identity, action == AuditAction::Retry) {
            caller.steps.send(ChangeStep::Ended(ending.clone()));
            return ending;
        }
        let pending = self.entry(&name, |entry| entry.record.pending.clone()).flatten();
        // The care that was asked for when it was begun, be it that the host ended or the attempt failed meanwhile.
        let asked = pending.filter(|pending| pending.identity == identity);
        let plan = asked.map_or(plan, |pending| plan.or(pending.plan));
        let order = SwapOrder { artifact: Some(identity.artifact), ..SwapOrder::new(manifest, plan, action) };
        self.swap(&caller.who, order, &caller.steps, turn).await
    }

    async fn resolve(
        self: &Arc<Self>,
        file: &Path,
        manifest: Result<Manifest, String>,
    ) -> Result<(Manifest, GenerationIdentity), String> {
        let manifest = manifest?;
        let identity = self.identity(&manifest).await.map_err(|problem| format!("{}: {problem}", file.display()))?;
        Ok((manifest, identity))
    }

    /// A manifest that was changed by hand, in nothing but that.
    async fn pause_as_written(self: &Arc<Self>, caller: &ChangeCaller, manifest: &Manifest) {
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
            let action = if paused { AuditAction::Pause } else { AuditAction::Resume };
            self.audit_change(&caller.who, name, action, self.runs(name), ChangeOutcome::Done, "its manifest says so")
                .await;
        }
    }

    /// What its file says now, where that is something else: a command may have written it since it was read.
    async fn newer(self: &Arc<Self>, read: &Manifest) -> Option<FoundManifest> {
        let found = self.read_manifest(&read.name).await?;
        let same = found.manifest.as_ref().is_ok_and(|manifest| manifest.text == read.text);
        (!same).then_some(found)
    }

    /// Why there is nothing to do, if so. `again` is whether what was tried before is tried once more.
    fn outcome_without_swap(
        &self,
        manifest: &Manifest,
        wanted: GenerationIdentity,
        again: bool,
    ) -> Option<PluginChangeResult> {
        let name = &manifest.name;
        let (message, verdict, stage, serving) = self.entry(name, |entry| {
            let runs = entry.running() == Some(wanted);
            entry.desired = DesiredState { digest: Some(wanted.artifact), problem: None, runs };
            let (message, verdict) = entry.reason_not_to_swap(wanted, &manifest.rollout, again)?;
            let stage =
                entry.failure.as_ref().filter(|_| verdict != ChangeOutcome::Unchanged).map(|failed| failed.stage);
            Some((message, verdict, stage, entry.serving.as_ref().map(|generation| generation.number)))
        })??;
        let plugin = name.to_string();
        Some(PluginChangeResult { plugin, verdict, serving, stage, message, grants: Vec::new() })
    }

    fn unreadable(&self, caller: &ChangeCaller, name: &Arc<str>, problem: String) -> PluginChangeResult {
        let news = self.entry(name, |entry| {
            let news = entry.failure.as_ref().is_none_or(|known| known.reason != problem);
            entry.desired = DesiredState { digest: None, problem: Some(problem.clone()), runs: false };
            entry.fail(LoadFailure {
                identity: None,
                stage: SwapStage::Fetch,
                reason: problem.clone(),
                at: SystemTime::now(),
            });
            news
        });
        if news == Some(true) {
            self.emit_phase(name, 0, "failed", problem.clone());
        }
        let ending = PluginChangeResult { serving: self.serving(name), ..failed_result(name, problem) };
        caller.steps.send(ChangeStep::Ended(ending.clone()));
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
            entries.insert(name.clone(), PluginEntry::new(slot, file.to_owned()));
            first
        });
        // At the start no client has looked yet.
        if first && self.started.load(Ordering::SeqCst) {
            tracing::warn!(plugin = &**name, "{OFFERED_NOW}");
        }
    }
}

impl PluginEntry {
    /// Why what is wanted is not begun: it serves, it is on its way, or it was tried and this is not `again`.
    fn reason_not_to_swap(
        &mut self,
        wanted: GenerationIdentity,
        care: &RolloutPolicy,
        again: bool,
    ) -> Option<(String, ChangeOutcome)> {
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
            let reason = format!("it was {}; {}", refusal.describe(), self.remedy(wanted, care));
            self.failure =
                Some(LoadFailure { identity: Some(wanted), stage: refusal.stage, reason: reason.clone(), at });
            return Some((reason, verdict));
        }
        let failed = self.failure.as_ref().filter(|failed| failed.identity == Some(wanted))?;
        // Where nothing serves there is nothing to disturb, and what kept it from starting may be over.
        let again = self.serving.is_none() && matches!(failed.stage, SwapStage::Fetch | SwapStage::Start);
        let rested = failed.at.elapsed().is_ok_and(|rested| rested >= RETRY_AFTER);
        (!(again && rested)).then(|| (failed.reason.clone(), ChangeOutcome::Failed))
    }

    /// What is wanted does not run; what serves does.
    pub(super) fn fail(&mut self, failed: LoadFailure) {
        self.desired.runs = false;
        self.failure = Some(failed);
        if self.serving.is_none() {
            self.state = PluginState::Failed;
            self.slot.set_serving(false);
        }
    }
}

pub(super) fn failed_result(name: &str, message: String) -> PluginChangeResult {
    let (plugin, stage) = (name.to_owned(), Some(SwapStage::Fetch));
    PluginChangeResult { plugin, verdict: ChangeOutcome::Failed, serving: None, stage, message, grants: Vec::new() }
}
