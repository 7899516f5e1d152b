//! Reconciliation: makes every plugin match the directory of manifests.

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
use crate::change::{ChangeOutcome, ChangeStep, PluginChangeResult, RolloutOverride, SwapStage};
use crate::manifest::Manifest;
use crate::offering::OFFERED_NOW;
use crate::rollout::RolloutPolicy;
use crate::rollout::progress::StepSender;
use crate::status::DesiredState;
use barnabas_base::messages::count_noun;
use barnabas_pipeline::dispatch::SlotConfig;
use barnabas_storage::audit::AuditAction;

/// Interval after which a plugin that failed to start, and has no serving generation, is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(25);

impl PluginsInner {
    /// Makes every plugin match its manifest, all plugins concurrently.
    pub(super) async fn reconcile(self: &Arc<Self>, caller: &ChangeCaller) -> Result<Vec<PluginChangeResult>, String> {
        if !self.dir.is_dir() {
            // An empty directory means no plugins; a missing directory is an error and changes nothing.
            return Err(format!("{} is not a directory; restore it", self.dir.display()));
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

    /// The same for a caller that waits: the results of changed plugins are reported as progress.
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

    /// Makes one plugin match its manifest, unless it does already, a swap to it is in progress, or it was refused.
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
        // Unless it publishes just this generation: another reconciliation may have read the same file.
        self.entry(&name, |entry| {
            let others = entry.under_way.iter().filter(|swap| !swap.brings(identity));
            others.for_each(|swap| swap.progress.abort("its manifest wants something else now"));
        });
        let turn = self.turn(&name).await;
        // The previous holder of the lock may have changed the file, or have done this already.
        let found = self.newer(&manifest).await;
        let found = found.unwrap_or(FoundManifest { name, file, manifest: Ok(manifest) });
        self.settle_in_turn(caller, found, plan, action, turn).await
    }

    /// The same, while the lock is held.
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
            // The previous holder of the lock removed the plugin.
            drop(turn);
            return Box::pin(self.settle(caller, FoundManifest { name, file, manifest }, plan, action)).await;
        }
        let (manifest, identity) = match self.resolve(&file, manifest).await {
            Ok(meant) => meant,
            Err(problem) => return self.unreadable(caller, &name, problem),
        };
        // A retry is the explicit request that a refused candidate needs.
        if let Some(ending) = self.outcome_without_swap(&manifest, identity, action == AuditAction::Retry) {
            caller.steps.send(ChangeStep::Ended(ending.clone()));
            return ending;
        }
        let pending = self.entry(&name, |entry| entry.record.pending.clone()).flatten();
        // The overrides that were requested when it began, even if the host restarted or the attempt failed since.
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

    /// Pauses or resumes if only this was changed in the manifest.
    async fn pause_as_written(self: &Arc<Self>, caller: &ChangeCaller, manifest: &Manifest) {
        let (name, paused) = (&manifest.name, manifest.paused);
        if self.entry(name, |entry| entry.paused == paused) != Some(false) {
            return;
        }
        // A change in progress applies this as well, or the next reconciliation does.
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

    /// Reads the manifest again and returns it if it differs: a command may have written it in the meantime.
    async fn newer(self: &Arc<Self>, read: &Manifest) -> Option<FoundManifest> {
        let found = self.read_manifest(&read.name).await?;
        let same = found.manifest.as_ref().is_ok_and(|manifest| manifest.text == read.text);
        (!same).then_some(found)
    }

    /// Returns a result if no swap is needed. `again` is whether a failed candidate is tried again.
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

    /// Opens the slot of this name; an open slot keeps its configuration until another generation is published.
    pub(super) fn open(&self, name: &Arc<str>, file: &Path, config: SlotConfig) {
        let first = self.entries(|entries| {
            if let Some(entry) = entries.get_mut(name) {
                file.clone_into(&mut entry.file);
                return false;
            }
            let first = !self.dispatch.has_slots();
            // Only this module opens slots under plugins' names; a slot that exists already is used.
            let opened = self.dispatch.open(name, config);
            let slot = opened.ok().or_else(|| self.dispatch.slot(name));
            let slot = slot.expect("a slot that cannot be opened is open");
            entries.insert(name.clone(), PluginEntry::new(slot, file.to_owned()));
            first
        });
        // During the start no client has connected yet.
        if first && self.started.load(Ordering::SeqCst) {
            tracing::warn!(plugin = &**name, "{OFFERED_NOW}");
        }
    }
}

impl PluginEntry {
    /// Why no swap begins: the generation serves, its swap is in progress, or it failed and this is not `again`.
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
                // That swap would replace the desired generation.
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
        // A refused artifact with other settings is a change of the manifest, and is tried.
        let refusal = self.record.refusal(wanted).filter(|refusal| refusal.identity == wanted);
        if let Some(refusal) = refusal.cloned() {
            let (at, verdict) = (refusal.at, refusal.verdict);
            let reason = format!("it was {}; {}", refusal.describe(), self.remedy(wanted, care));
            self.failure =
                Some(LoadFailure { identity: Some(wanted), stage: refusal.stage, reason: reason.clone(), at });
            return Some((reason, verdict));
        }
        let failed = self.failure.as_ref().filter(|failed| failed.identity == Some(wanted))?;
        // If nothing serves, another attempt disturbs nothing, and the cause may be gone.
        let again = self.serving.is_none() && matches!(failed.stage, SwapStage::Fetch | SwapStage::Start);
        let rested = failed.at.elapsed().is_ok_and(|rested| rested >= RETRY_AFTER);
        (!(again && rested)).then(|| (failed.reason.clone(), ChangeOutcome::Failed))
    }

    /// Records that the desired generation failed.
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
