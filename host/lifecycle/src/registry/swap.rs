//! A swap from its first stage to its last, and its records.

use std::sync::Arc;
use std::time::SystemTime;

use super::entry::{LoadFailure, SwapUnderWay};
use super::record::{
    CandidateRefusal, GenerationIdentity, GenerationRecord, PendingRollout, SLOT_RECORD_KIND, SlotRecord,
};
use super::{PluginState, PluginsInner};
use crate::change::{Actor, ChangeOutcome, ChangeStep, PluginChangeResult, RolloutOverride, SwapStage};
use crate::generation::{Candidate, Generation};
use crate::manifest::{Manifest, edit};
use crate::rollout::progress::{StepSender, SwapProgress};
use crate::rollout::{RolloutPolicy, RolloutStopped};
use crate::status::DesiredState;
use barnabas_base::digest::Digest;
use barnabas_runtime::capability::log::GuestLogLine;
use barnabas_storage::audit;
use barnabas_storage::audit::AuditAction;

/// The generation to publish, and how it is rolled out.
pub(super) struct SwapOrder {
    pub(super) manifest: Manifest,
    /// Overrides of the rollout policy.
    pub(super) plan: RolloutOverride,
    /// The previous text of the manifest, if a command changes it: the new text is written after the self-test.
    pub(super) commit: Option<String>,
    /// The number of a generation that is restored after a restart.
    pub(super) number: Option<u64>,
    /// The digest of the artifact, if it is known beforehand.
    pub(super) artifact: Option<Digest>,
    /// The operation, for the audit log.
    pub(super) action: AuditAction,
}

impl SwapOrder {
    /// An order for a manifest as in its file.
    pub(super) fn new(manifest: Manifest, plan: RolloutOverride, action: AuditAction) -> Self {
        Self { manifest, plan, commit: None, number: None, artifact: None, action }
    }

    /// The rollout policy. A generation that served before needs no trial. A refused one has the same rollout as
    /// before, however it was requested, unless that is overridden explicitly.
    fn rollout_policy(&self, refusal: Option<&CandidateRefusal>) -> RolloutPolicy {
        if matches!(self.action, AuditAction::Rollback | AuditAction::Restore) {
            return RolloutPolicy { self_test: false, ..RolloutPolicy::default() };
        }
        let care = &self.manifest.rollout;
        let had = refusal.map(|refusal| refusal.rollout(care)).unwrap_or_default();
        care.with_override(had).with_override(self.plan)
    }

    fn identity(&self, artifact: Digest) -> GenerationIdentity {
        GenerationIdentity { artifact, meaning: self.manifest.fingerprint }
    }
}

/// The generation that is about to be published.
enum ReadyGeneration {
    Candidate(Candidate),
    /// It serves some of the lanes already.
    Canary(Generation),
}

impl PluginsInner {
    /// Runs a swap with the plugin's lock, which is released once the new generation serves: the next change need not
    /// wait until the previous generation is retired. Reports, audits and records the result.
    pub(super) async fn swap(
        self: &Arc<Self>,
        who: &Actor,
        order: SwapOrder,
        teller: &StepSender,
        turn: ChangeGuard,
    ) -> PluginChangeResult {
        let name = order.manifest.name.clone();
        let number = self.number(&order);
        let progress = Arc::new(SwapProgress::new(name.clone(), number, teller.clone(), self.events.clone()));
        let asked =
            self.entry(&name, |entry| entry.serving.as_ref().map(|serving| serving.grantable_imports())).flatten();
        let record = self.entry(&name, |entry| {
            let (progress, meaning) = (progress.clone(), order.manifest.fingerprint);
            let swap = SwapUnderWay { progress, meaning, artifact: order.artifact, written: order.commit.is_none() };
            entry.under_way = Some(swap);
            entry.candidate_lines.clear();
            entry.record.clone()
        });
        let record = record.unwrap_or_default();
        let before = record.serving.as_ref();
        self.emit_phase(&name, number, "loading", order.manifest.file.display().to_string());
        let result = self.roll_out(&order, number, &record, &progress).await;
        self.entry(&name, |entry| entry.under_way = None);
        let grants = match order.number {
            // A restored generation has no new grants.
            Some(_) => Vec::new(),
            None => grants(before, asked.unwrap_or_default(), &order.manifest, &progress),
        };
        let ending = match result {
            Ok(old) => self.finish_served(&order, (number, old), &record, &progress, grants, turn).await,
            Err(stop) => self.finish_stopped(&order, number, stop, &record, &progress, grants).await,
        };
        self.audit_swap(who, &order, before, &progress, &ending).await;
        if order.action == AuditAction::Load && ending.verdict != ChangeOutcome::Done && !self.is_written(&order).await
        {
            // The load failed, so remove the entry before the result is reported: the caller may then load another
            // plugin of this name.
            self.remove_record(&name).await;
            self.forget(&name);
        }
        teller.send(ChangeStep::Ended(ending.clone()));
        ending
    }

    async fn is_written(&self, order: &SwapOrder) -> bool {
        let file = order.manifest.file.clone();
        self.run_blocking(move || file.exists()).await.unwrap_or(true)
    }

    fn number(&self, order: &SwapOrder) -> u64 {
        let next = |entry: &mut super::PluginEntry| {
            entry.record.number += 1;
            entry.record.number
        };
        order.number.or_else(|| self.entry(&order.manifest.name, next)).unwrap_or(1)
    }

    /// Runs the stages until the new generation serves. Returns the previous one, which has stopped leasing. `record`
    /// is the record at the beginning.
    async fn roll_out(
        self: &Arc<Self>,
        order: &SwapOrder,
        number: u64,
        record: &SlotRecord,
        progress: &Arc<SwapProgress>,
    ) -> Result<Option<Generation>, RolloutStopped> {
        let manifest = &order.manifest;
        if let Some(artifact) = order.artifact.filter(|_| order.commit.is_none()) {
            self.remember_plan(order, artifact).await?;
        }
        let (candidate, digest) = self.candidate(manifest, number, progress).await?;
        let refusal = record.refusal(order.identity(digest));
        let care = order.rollout_policy(refusal);
        self.can_be_tried(order, &care, refusal.is_some())?;
        if let Some(refusal) = refusal.filter(|_| order.number.is_none()) {
            let words = refusal.describe();
            progress.report(SwapStage::Start, format!("it was {words}; now it is tried under `{}`", care.to_flags()));
        }
        let blueprint = candidate.blueprint.clone();
        let ready = self.run_trials(order, candidate, &care, progress).await;
        let ready = ready.inspect_err(|_| self.keep_log_lines(&manifest.name, blueprint.log.recent()))?;
        let published = async { Ok((self.publish(order, digest, number, ready)?, None)) };
        progress.run_stage(SwapStage::Publish, published).await
    }

    /// Fails if a requested trial is not possible because there are no pushes for it, instead of skipping it silently.
    fn can_be_tried(&self, order: &SwapOrder, care: &RolloutPolicy, refused: bool) -> Result<(), RolloutStopped> {
        let asked = order.plan.shadow.is_some() || order.plan.canary.is_some();
        let (why, remedy) = match self.live(&order.manifest.name) {
            Some((_, true)) if refused || asked => ("the plugin is paused", "resume it first"),
            None if refused => ("nothing serves that it could be compared with", "have another version serve first"),
            _ => return Ok(()),
        };
        if !care.has_trial() {
            return Ok(());
        }
        let stage = if care.shadow.is_zero() { SwapStage::Canary } else { SwapStage::Shadow };
        let (words, at_once) = (care.to_flags(), RolloutPolicy::default().to_flags());
        let reason = format!("{why}, so it cannot be tried under `{words}`; {remedy}, or let it in with `{at_once}`");
        Err(RolloutStopped::failed(stage, reason))
    }

    /// Runs self-test, shadow and canary as the policy requires.
    async fn run_trials(
        self: &Arc<Self>,
        order: &SwapOrder,
        candidate: Candidate,
        care: &RolloutPolicy,
        progress: &Arc<SwapProgress>,
    ) -> Result<ReadyGeneration, RolloutStopped> {
        let name = &order.manifest.name;
        if care.self_test {
            progress.run_stage(SwapStage::SelfTest, self.self_test(name, &candidate.blueprint, care)).await?;
        }
        if let Some(before) = &order.commit {
            if let Some(artifact) = progress.status().digest {
                self.remember_plan(order, artifact).await?;
            }
            self.commit(&order.manifest, before.clone()).await?;
        }
        let Some((stats, false)) = self.live(name) else { return Ok(ReadyGeneration::Candidate(candidate)) };
        if !care.shadow.is_zero() {
            progress.run_stage(SwapStage::Shadow, self.shadow(name, &candidate.blueprint, care, progress)).await?;
        }
        if care.canary >= 1.0 {
            return Ok(ReadyGeneration::Candidate(candidate));
        }
        self.canary(&order.manifest, candidate, stats, care, progress).await.map(ReadyGeneration::Canary)
    }

    /// Records the overrides: if the host restarts before the candidate serves, or the attempt fails, the next attempt
    /// uses the same overrides.
    async fn remember_plan(&self, order: &SwapOrder, artifact: Digest) -> Result<(), RolloutStopped> {
        if order.plan == RolloutOverride::default() {
            return Ok(());
        }
        let (name, pending) =
            (&order.manifest.name, PendingRollout { identity: order.identity(artifact), plan: order.plan });
        let news = self.entry(name, |entry| {
            let news = entry.record.pending.as_ref() != Some(&pending);
            entry.record.pending = Some(pending);
            news
        });
        if news != Some(true) {
            return Ok(());
        }
        let remembered = self.store_record(name).await;
        remembered.map_err(|problem| {
            RolloutStopped::failed(SwapStage::Publish, format!("the plan cannot be kept: {problem}"))
        })
    }

    /// Writes the manifest, unless it was changed since it was read.
    async fn commit(&self, manifest: &Manifest, before: String) -> Result<(), RolloutStopped> {
        let (file, text) = (manifest.file.clone(), manifest.text.clone());
        let written = self.run_blocking(move || edit::replace(&file, &before, &text)).await;
        let written = written.and_then(|written| written);
        let file = manifest.file.display();
        written.map_err(|problem| {
            RolloutStopped::failed(SwapStage::Publish, format!("it cannot be written to {file}: {problem}"))
        })?;
        // Only after the write: readers of this flag read the file again, and must find the new text.
        self.entry(&manifest.name, |entry| entry.under_way.iter_mut().for_each(|swap| swap.written = true));
        Ok(())
    }

    /// Publishes the new generation: it serves from now on.
    fn publish(
        &self,
        order: &SwapOrder,
        artifact: Digest,
        number: u64,
        ready: ReadyGeneration,
    ) -> Result<Option<Generation>, RolloutStopped> {
        let manifest = &order.manifest;
        let published = self.entry(&manifest.name, |entry| {
            if self.is_ending() {
                return Err(aborted_before_publish("the host ends"));
            }
            entry.paused = manifest.paused;
            entry.slot.reconfigure(manifest.slot_config());
            let old = entry.serving.take();
            if let Some(old) = &old {
                old.stop_leasing();
                entry.previous_log = Some(old.blueprint.log.clone());
            }
            let lanes = entry.lanes();
            entry.serving = Some(match ready {
                ReadyGeneration::Canary(generation) => {
                    generation.set_on_trial(false);
                    generation.set_lanes(lanes);
                    generation
                }
                ReadyGeneration::Candidate(candidate) => {
                    candidate.serve(&entry.slot, lanes, manifest.instances, self.events.clone(), self.guests.handle())
                }
            });
            entry.state = if entry.paused { PluginState::Paused } else { PluginState::Serving };
            entry.failure = None;
            entry.slot.set_serving(true);
            // The retry delays of the previous generation do not apply to the new one.
            entry.slot.retry_now();
            entry.record.serve(GenerationRecord::from_manifest(manifest, artifact, number));
            if order.number.is_none() {
                // A restored generation does not clear earlier refusals.
                entry.record.clear_refusals(order.identity(artifact));
                entry.record.pending = None;
            }
            Ok(old)
        });
        published.unwrap_or_else(|| Err(aborted_before_publish("the plugin was removed")))
    }

    /// After publishing: stores the record, then retires the previous generation.
    async fn finish_served(
        self: &Arc<Self>,
        order: &SwapOrder,
        (number, old): (u64, Option<Generation>),
        record: &SlotRecord,
        progress: &SwapProgress,
        grants: Vec<String>,
        turn: ChangeGuard,
    ) -> PluginChangeResult {
        let name = &order.manifest.name;
        let digest = progress.status().digest;
        self.emit_phase(name, number, "serving", String::new());
        if order.number.is_none() {
            self.entry(name, |entry| entry.desired = DesiredState { digest, problem: None, runs: true });
        }
        let forgotten = self.store_record(name).await.err();
        drop(turn);
        if let Some(old) = old {
            self.retire_old(name, old, progress).await;
        }
        self.prune_artifacts().await;
        let mut message = format!("generation {number} serves");
        let refusal = digest.and_then(|digest| record.refusal(order.identity(digest)));
        if let Some(refusal) = refusal.filter(|_| order.number.is_none()) {
            message +=
                &format!("; an earlier attempt of it, generation {}, was {}", refusal.number, refusal.describe());
        }
        if let Some(problem) = forgotten {
            message += &format!("; a restart would not know it: {problem}");
        }
        let (plugin, verdict) = (name.to_string(), ChangeOutcome::Done);
        PluginChangeResult { plugin, verdict, serving: Some(number), stage: None, message, grants }
    }

    /// Drains and retires the previous generation. Batches that it still has at its deadline are delivered by the new
    /// one.
    async fn retire_old(&self, name: &Arc<str>, mut old: Generation, progress: &SwapProgress) {
        let (number, limits) = (old.number, old.blueprint.limits.clone());
        let drain = async {
            let in_time = old.drain(limits.deadline).await;
            ((), (!in_time).then(|| "what it held at its deadline was given back".to_owned()))
        };
        progress.run_stage_to_end(SwapStage::Drain, drain).await;
        let retire = async {
            let in_time = old.retire(limits.stop).await;
            ((), (!in_time).then(|| "it was ended at its deadline".to_owned()))
        };
        progress.run_stage_to_end(SwapStage::Retire, retire).await;
        self.emit_phase(name, number, "retired", String::new());
    }

    /// After a failure: the previous generation still serves.
    async fn finish_stopped(
        &self,
        order: &SwapOrder,
        number: u64,
        stop: RolloutStopped,
        record: &SlotRecord,
        progress: &SwapProgress,
        grants: Vec<String>,
    ) -> PluginChangeResult {
        let (name, RolloutStopped { stage, verdict, reason }) = (&order.manifest.name, stop);
        let identity = progress.status().digest.or(order.artifact).map(|artifact| order.identity(artifact));
        let for_good = matches!(verdict, ChangeOutcome::RolledBack | ChangeOutcome::Inconclusive)
            || progress.is_aborted_for_good();
        let at = SystemTime::now();
        let refusal = identity.filter(|_| for_good).map(|identity| {
            let manifest = &order.manifest.rollout;
            let rollout = match order.action {
                // A generation that was aborted needs a trial again, even if it served before.
                AuditAction::Rollback | AuditAction::Restore => manifest.to_override(),
                _ => order.rollout_policy(record.refusal(identity)).to_override(),
            };
            let served = record.serving.as_ref().is_some_and(|serving| serving.identity.artifact == identity.artifact);
            let (reason, written) = (reason.clone(), manifest.to_override());
            CandidateRefusal { identity, number, verdict, stage, reason, at, rollout, written, any_settings: !served }
        });
        // A candidate that was superseded is not known to be bad, and may be tried again.
        let known = identity.filter(|_| verdict != ChangeOutcome::Aborted || for_good);
        let mut message = format!("{}: {reason}", order.manifest.file.display());
        let refused = refusal.is_some();
        let serving = self.entry(name, |entry| {
            if let Some(refusal) = refusal {
                let identity = refusal.identity;
                entry.record.refuse(refusal);
                let remedy = entry.remedy(identity, &order.manifest.rollout);
                message += &format!("; it is not tried again until its manifest changes: {remedy}");
            }
            entry.fail(LoadFailure { identity: known, stage, reason: message.clone(), at });
            entry.serving.as_ref().map(|generation| generation.number)
        });
        if refused && let Err(problem) = self.store_record(name).await {
            tracing::error!("plugin `{name}`: a restart would not know that this candidate was refused: {problem}");
        }
        let phase = if verdict == ChangeOutcome::RolledBack { "rolled-back" } else { "failed" };
        self.emit_phase(name, number, phase, message.clone());
        let serving = serving.flatten();
        PluginChangeResult { plugin: name.to_string(), verdict, serving, stage: Some(stage), message, grants }
    }

    /// Stores the current record of the slot.
    pub(super) async fn store_record(&self, name: &Arc<str>) -> Result<(), String> {
        let Some(record) = self.entry(name, |entry| entry.record.clone()) else { return Ok(()) };
        let (store, name) = (self.store.clone(), name.clone());
        let written = self.run_blocking(move || store.put_record(SLOT_RECORD_KIND, &name, &record)).await?;
        written.map_err(|error| format!("{error:#}"))
    }

    /// Removes the record of the slot.
    pub(super) async fn remove_record(&self, name: &Arc<str>) {
        let (store, key) = (self.store.clone(), name.clone());
        let removed =
            self.run_blocking(move || store.remove_record(SLOT_RECORD_KIND, &key).map_err(|e| format!("{e:#}"))).await;
        if let Err(problem) = removed.and_then(|removed| removed) {
            tracing::error!("plugin `{name}`: it is still remembered: {problem}");
        }
    }

    /// Retains the log lines of a self-test, or of a candidate that was not published, for `plugin logs`.
    pub(super) fn keep_log_lines(&self, name: &str, lines: Vec<GuestLogLine>) {
        self.entry(name, |entry| entry.candidate_lines.extend(lines));
    }

    async fn audit_swap(
        &self,
        who: &Actor,
        order: &SwapOrder,
        before: Option<&GenerationRecord>,
        progress: &SwapProgress,
        ending: &PluginChangeResult,
    ) {
        self.append_to_audit_log(audit::AuditEntry {
            at: SystemTime::now(),
            who: who.to_string(),
            action: order.action,
            plugin: ending.plugin.clone(),
            from: before
                .map(|release| audit::GenerationRef { generation: release.number, digest: release.identity.artifact }),
            to: progress
                .status()
                .digest
                .map(|digest| audit::GenerationRef { generation: progress.generation(), digest }),
            grants: ending.grants.clone(),
            outcome: Some(ending.verdict),
            message: ending.message.clone(),
        })
        .await;
    }

    /// Appends to the audit log on a blocking thread, so that no guest waits for its disk.
    pub(super) async fn append_to_audit_log(&self, entry: audit::AuditEntry) {
        let audit = self.audit.clone();
        let _ = self.run_blocking(move || audit.append(entry)).await;
    }
}

/// Differences of grants and grantable imports between the candidate and the generation `before`, whose imports were
/// `asked`.
fn grants(
    before: Option<&GenerationRecord>,
    asked: Vec<String>,
    manifest: &Manifest,
    progress: &SwapProgress,
) -> Vec<String> {
    let old = before.and_then(|release| Manifest::parse(&manifest.file, &release.manifest).ok());
    let mut old: Vec<String> = old.map(|old| old.grant_lines).unwrap_or_default();
    old.extend(asked);
    let mut new = manifest.grant_lines.clone();
    new.extend(progress.grantable_imports());
    let added = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    let removed = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    added.chain(removed).collect()
}

pub(super) fn aborted_before_publish(reason: &str) -> RolloutStopped {
    RolloutStopped { stage: SwapStage::Publish, verdict: ChangeOutcome::Aborted, reason: reason.to_owned() }
}

/// The lock of a plugin, which a change holds.
pub(super) type ChangeGuard = Option<tokio::sync::OwnedMutexGuard<()>>;
