//! Requested changes: each results in the same state as if the manifest had been edited by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::swap::{ChangeGuard, SwapOrder};
use super::{PluginsInner, host_is_ending};
use crate::change::{
    Actor, ChangeOutcome, ChangeRefused, ChangeRefusedCode, ChangeStep, ManifestPatch, PluginChange,
    PluginChangeResult, RolloutOverride, SwapStage,
};
use crate::manifest;
use crate::manifest::{Manifest, edit};
use crate::rollout::progress::StepSender;
use barnabas_base::units::Percent;
use barnabas_storage::audit;
use barnabas_storage::audit::AuditAction;

/// Who requested a change, and where its steps are sent.
#[derive(Clone)]
pub(super) struct ChangeCaller {
    pub(super) who: Actor,
    pub(super) steps: StepSender,
}

impl PluginsInner {
    /// Refuses immediately what cannot begin; runs the rest in a task that is independent of the caller.
    pub(super) fn begin(
        self: &Arc<Self>,
        who: Actor,
        change: PluginChange,
        teller: StepSender,
    ) -> Result<(), ChangeRefused> {
        self.admissible(&change)?;
        let under_way = self.changes.clone().try_read_owned().map_err(|_| host_is_ending())?;
        let (inner, caller) = (self.clone(), ChangeCaller { who, steps: teller });
        self.guests.handle().spawn(async move {
            inner.perform(caller, change).await;
            // The shutdown, which waits for changes, may close the store next.
            drop(inner);
            drop(under_way);
        });
        Ok(())
    }

    fn admissible(&self, change: &PluginChange) -> Result<(), ChangeRefused> {
        if self.is_ending() {
            return Err(host_is_ending());
        }
        match change {
            PluginChange::Load(name, _, plan) => {
                let file = self.file(name);
                manifest::plugin_name(&file).map_err(|problem| refused(ChangeRefusedCode::Invalid, problem))?;
                if self.entry(name, |_| ()).is_some() || file.exists() {
                    let words = format!("there is a plugin `{name}`; `swap` replaces it, `remove` takes it away");
                    return Err(refused(ChangeRefusedCode::PluginExists, words));
                }
                validate_override(*plan)
            }
            PluginChange::Swap(name, _, plan) | PluginChange::Retry(name, plan) => {
                self.check_plugin_exists(name).and_then(|()| validate_override(*plan))
            }
            PluginChange::Rollback(name, number, force) => {
                self.check_plugin_exists(name).and_then(|()| self.can_roll_back(name, *number, *force))
            }
            PluginChange::Keep(name) => self.check_plugin_exists(name).and_then(|()| self.can_keep(name)),
            PluginChange::Pause(name) | PluginChange::Resume(name) | PluginChange::Remove(name, _) => {
                self.check_plugin_exists(name)
            }
            PluginChange::Abort(name) => self.check_plugin_exists(name).and_then(|()| self.something_under_way(name)),
            PluginChange::Reconcile => Ok(()),
        }
    }

    fn check_plugin_exists(&self, name: &str) -> Result<(), ChangeRefused> {
        let words = || {
            let names: Vec<_> = self.entries(|entries| entries.keys().map(|name| format!("`{name}`")).collect());
            let there =
                if names.is_empty() { "there is none".into() } else { format!("there is {}", names.join(", ")) };
            refused(ChangeRefusedCode::UnknownPlugin, format!("no plugin is called `{name}`; {there}"))
        };
        self.entry(name, |_| ()).ok_or_else(words)
    }

    fn something_under_way(&self, name: &str) -> Result<(), ChangeRefused> {
        let under_way = self.entry(name, |entry| entry.under_way.is_some()).unwrap_or(false);
        let words = || refused(ChangeRefusedCode::NothingUnderWay, format!("no swap of `{name}` is under way"));
        under_way.then_some(()).ok_or_else(words)
    }

    async fn perform(self: &Arc<Self>, caller: ChangeCaller, change: PluginChange) {
        match change {
            PluginChange::Load(name, wanted, plan) => self.load(&caller, name, &wanted, plan).await,
            PluginChange::Swap(name, wanted, plan) => self.replace(&caller, name, &wanted, plan).await,
            PluginChange::Rollback(name, number, force) => self.roll_back(&caller, name, number, force).await,
            PluginChange::Keep(name) => self.keep(&caller, name).await,
            PluginChange::Retry(name, plan) => self.retry(&caller, name, plan).await,
            PluginChange::Pause(name) => self.set_paused(&caller, name, true).await,
            PluginChange::Resume(name) => self.set_paused(&caller, name, false).await,
            PluginChange::Remove(name, forget) => self.remove(&caller, name, forget).await,
            PluginChange::Abort(name) => self.abort(&caller, name).await,
            PluginChange::Reconcile => self.reconcile_and_report(&caller).await,
        }
    }

    async fn load(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        name: Arc<str>,
        wanted: &ManifestPatch,
        plan: RolloutOverride,
    ) {
        let manifest = match self.edited(&name, "", wanted) {
            Ok(manifest) => manifest,
            Err(problem) => return self.finish_failed(caller, &name, SwapStage::Fetch, problem),
        };
        self.open(&name, &manifest.file, manifest.slot_config());
        let turn = self.turn(&name).await;
        let order = SwapOrder { commit: Some(String::new()), ..SwapOrder::new(manifest, plan, AuditAction::Load) };
        self.swap(&caller.who, order, &caller.steps, turn).await;
    }

    async fn replace(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        name: Arc<str>,
        wanted: &ManifestPatch,
        plan: RolloutOverride,
    ) {
        let inner = self.clone();
        let edit = |text: &str| inner.edited(&name, text, wanted);
        self.edit_and_swap(caller, name.clone(), plan, AuditAction::Swap, edit).await;
    }

    async fn retry(self: &Arc<Self>, caller: &ChangeCaller, name: Arc<str>, plan: RolloutOverride) {
        self.supersede(&name, "it is tried again");
        let turn = self.turn(&name).await;
        let Some(found) = self.read_manifest(&name).await else {
            return self.finish_failed(
                caller,
                &name,
                SwapStage::Fetch,
                format!("{} is gone", self.file(&name).display()),
            );
        };
        self.settle_in_turn(caller, found, plan, AuditAction::Retry, turn).await;
    }

    /// A requested swap to the manifest that `edit` returns; aborts a swap in progress.
    async fn edit_and_swap(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        name: Arc<str>,
        plan: RolloutOverride,
        action: AuditAction,
        edit: impl FnOnce(&str) -> Result<Manifest, String> + Send,
    ) {
        self.supersede(&name, "another change was asked for");
        let turn = self.turn(&name).await;
        let text = self.text(&name).await;
        let edited = text.and_then(|before| edit(&before).map(|manifest| (before, manifest)));
        let (before, manifest) = match edited {
            Ok(edited) => edited,
            Err(problem) => return self.finish_failed(caller, &name, SwapStage::Fetch, problem),
        };
        self.swap_in_turn(caller, before, manifest, plan, action, turn).await;
    }

    /// The same, while the lock is held. `before` is the current text of the manifest.
    pub(super) async fn swap_in_turn(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        before: String,
        manifest: Manifest,
        plan: RolloutOverride,
        action: AuditAction,
        turn: ChangeGuard,
    ) {
        let name = manifest.name.clone();
        let running = self.entry(&name, |entry| entry.running()).flatten();
        let wanted = self.identity(&manifest).await.ok();
        if running.is_some() && running == wanted {
            return self.write_unchanged(caller, &name, action, before, manifest).await;
        }
        let artifact = wanted.map(|identity| identity.artifact);
        let order = SwapOrder { commit: Some(before), artifact, ..SwapOrder::new(manifest, plan, action) };
        self.swap(&caller.who, order, &caller.steps, turn).await;
    }

    /// Writes the manifest, whose generation serves already.
    async fn write_unchanged(
        &self,
        caller: &ChangeCaller,
        name: &str,
        action: AuditAction,
        before: String,
        manifest: Manifest,
    ) {
        let (file, text) = (manifest.file.clone(), manifest.text.clone());
        let done = self.run_blocking(move || edit::replace(&file, &before, &text)).await;
        let (verdict, message) = match done.and_then(|done| done) {
            Ok(()) => (ChangeOutcome::Unchanged, "it is what serves already".into()),
            Err(problem) => {
                (ChangeOutcome::Failed, format!("it cannot be written to {}: {problem}", manifest.file.display()))
            }
        };
        self.finish_without_swap(caller, name, action, verdict, message).await;
    }

    async fn set_paused(self: &Arc<Self>, caller: &ChangeCaller, name: Arc<str>, paused: bool) {
        if paused {
            // A pause should not wait for the end of a canary.
            let why = "the plugin was paused";
            self.entry(&name, |entry| entry.under_way.iter().for_each(|swap| swap.progress.abort_for_good(why)));
        }
        let _turn = self.turn(&name).await;
        let changed = match self.text(&name).await {
            Ok(text) => edit::with_paused(&text, paused),
            Err(problem) => Err(problem),
        };
        let file = self.entry(&name, |entry| entry.file.clone()).unwrap_or_else(|| self.file(&name));
        let written = match changed {
            Ok(text) => self.run_blocking(move || edit::write(&file, &text).map_err(|e| e.to_string())).await,
            Err(problem) => Ok(Err(problem)),
        };
        let action = if paused { AuditAction::Pause } else { AuditAction::Resume };
        if let Err(problem) = written.and_then(|written| written) {
            let message = format!("its manifest cannot be changed: {problem}");
            return self.finish_without_swap(caller, &name, action, ChangeOutcome::Failed, message).await;
        }
        self.entry(&name, |entry| entry.pause(paused));
        let message = if paused {
            "it is given no batches; its pushes wait in the queue, the oldest are shed when it is full"
        } else {
            "it is given batches"
        };
        self.finish_without_swap(caller, &name, action, ChangeOutcome::Done, message.into()).await;
    }

    async fn remove(self: &Arc<Self>, caller: &ChangeCaller, name: Arc<str>, forget_state: bool) {
        self.supersede(&name, "the plugin is removed");
        let _turn = self.turn(&name).await;
        let file = self.entry(&name, |entry| entry.file.clone()).unwrap_or_else(|| self.file(&name));
        let shown = file.display().to_string();
        let removed = self.run_blocking(move || match edit::remove(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        });
        if let Err(problem) = removed.await.and_then(|removed| removed) {
            let message = format!("{shown} cannot be removed: {problem}");
            return self.finish_without_swap(caller, &name, AuditAction::Remove, ChangeOutcome::Failed, message).await;
        }
        let before = self.runs(&name);
        let mut message = self.remove_plugin(&name).await;
        if forget_state {
            let (store, slot) = (self.store.clone(), name.clone());
            let forgotten = self.run_blocking(move || store.delete_state(&slot).map_err(|e| format!("{e:#}"))).await;
            match forgotten.and_then(|forgotten| forgotten) {
                Ok(()) => message += "; its state is forgotten",
                Err(problem) => message += &format!("; its state could not be forgotten: {problem}"),
            }
        }
        self.audit_change(&caller.who, &name, AuditAction::Remove, before, ChangeOutcome::Done, &message).await;
        caller.end(&name, None, ChangeOutcome::Done, &message);
    }

    async fn abort(self: &Arc<Self>, caller: &ChangeCaller, name: Arc<str>) {
        let why = format!("it was aborted by {}", caller.who);
        let number = self.entry(&name, |entry| {
            let swap = entry.under_way.as_ref()?;
            swap.progress.abort_for_good(&why);
            Some(swap.progress.generation())
        });
        let _turn = self.turn(&name).await;
        let (number, serving) = (number.flatten(), self.serving(&name));
        let message = match serving {
            Some(serving) if number == Some(serving) => {
                format!("it came too late: generation {serving} serves; `rollback` takes it back")
            }
            Some(serving) => format!("nothing is under way any more; generation {serving} serves"),
            None => "nothing is under way any more, and nothing serves".into(),
        };
        self.finish_without_swap(caller, &name, AuditAction::Abort, ChangeOutcome::Done, message).await;
    }

    /// Aborts the swap in progress, if it can still be aborted.
    pub(super) fn supersede(&self, name: &str, why: &str) {
        self.entry(name, |entry| entry.under_way.iter().for_each(|swap| swap.progress.abort(why)));
    }

    /// Waits for the lock of this plugin.
    pub(super) async fn turn(&self, name: &str) -> ChangeGuard {
        let turn = self.entry(name, |entry| entry.turn.clone())?;
        Some(turn.lock_owned().await)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }

    /// Reports a failure before anything began; the previous generation still serves.
    pub(super) fn finish_failed(&self, caller: &ChangeCaller, name: &str, stage: SwapStage, message: String) {
        let (plugin, verdict, serving) = (name.to_owned(), ChangeOutcome::Failed, self.serving(name));
        let ending = PluginChangeResult { plugin, verdict, serving, stage: Some(stage), message, grants: Vec::new() };
        caller.steps.send(ChangeStep::Ended(ending));
    }

    pub(super) fn serving(&self, name: &str) -> Option<u64> {
        self.entry(name, |entry| Some(entry.serving.as_ref()?.number)).flatten()
    }

    /// Reads the current text of the manifest.
    pub(super) async fn text(&self, name: &str) -> Result<String, String> {
        let file = self.entry(name, |entry| entry.file.clone()).unwrap_or_else(|| self.file(name));
        let read = self.run_blocking(move || {
            std::fs::read_to_string(&file).map_err(|error| format!("{}: cannot be read: {error}", file.display()))
        });
        read.await.and_then(|read| read)
    }

    fn edited(&self, name: &str, text: &str, wanted: &ManifestPatch) -> Result<Manifest, String> {
        let file = self.entry(name, |entry| entry.file.clone()).unwrap_or_else(|| self.file(name));
        Manifest::with_patch(&file, text, wanted)
    }

    /// Reports and audits the result of a change without a swap.
    pub(super) async fn finish_without_swap(
        &self,
        caller: &ChangeCaller,
        name: &str,
        action: AuditAction,
        verdict: ChangeOutcome,
        message: String,
    ) {
        self.audit_change(&caller.who, name, action, self.runs(name), verdict, &message).await;
        caller.end(name, self.serving(name), verdict, &message);
    }

    /// The serving generation, for the audit log.
    pub(super) fn runs(&self, name: &str) -> Option<audit::GenerationRef> {
        let digest = self.entry(name, |entry| entry.running().map(|running| running.artifact)).flatten();
        self.serving(name).zip(digest).map(|(generation, digest)| audit::GenerationRef { generation, digest })
    }

    /// Writes a change without a swap to the audit log. `before` served when it began.
    pub(super) async fn audit_change(
        &self,
        who: &Actor,
        name: &str,
        action: AuditAction,
        before: Option<audit::GenerationRef>,
        verdict: ChangeOutcome,
        message: &str,
    ) {
        self.append_to_audit_log(audit::AuditEntry {
            at: SystemTime::now(),
            who: who.to_string(),
            action,
            plugin: name.to_owned(),
            from: before,
            to: before.filter(|_| action != AuditAction::Remove || verdict != ChangeOutcome::Done),
            grants: Vec::new(),
            outcome: Some(verdict),
            message: message.to_owned(),
        })
        .await;
    }
}

impl ChangeCaller {
    pub(super) fn end(&self, name: &str, serving: Option<u64>, verdict: ChangeOutcome, message: &str) {
        let (plugin, message) = (name.to_owned(), message.to_owned());
        self.steps.send(ChangeStep::Ended(PluginChangeResult {
            plugin,
            verdict,
            serving,
            stage: None,
            message,
            grants: Vec::new(),
        }));
    }
}

fn validate_override(plan: RolloutOverride) -> Result<(), ChangeRefused> {
    let share = plan.canary.map_or(Ok(100.0), |percent| Percent::new(percent).map(Percent::percent));
    share.map(|_| ()).map_err(|problem| refused(ChangeRefusedCode::Invalid, format!("`canary`: {problem}")))
}

pub(super) fn refused(code: ChangeRefusedCode, message: impl Into<String>) -> ChangeRefused {
    ChangeRefused { code, message: message.into() }
}
