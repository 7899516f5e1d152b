//! The registry's state of one plugin: its slot, the serving and the desired generation, and why they differ.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::record::{CandidateRefusal, GenerationIdentity, SlotRecord};
use crate::change::SwapStage;
use crate::effective_manifest::EffectiveManifest;
use crate::generation::Generation;
use crate::manifest::Manifest;
use crate::rollout::RolloutPolicy;
use crate::rollout::progress::SwapProgress;
use crate::status::{
    DesiredState, PluginFailure, PluginState, PluginStatus, RefusedGeneration, RetainedGeneration, ServingGeneration,
};
use barnabas_base::digest::Digest;
use barnabas_pipeline::dispatch::{LaneSet, Slot};
use barnabas_runtime::capability::egress::ResponseCache;
use barnabas_runtime::capability::log::{GuestLogLine, LogSink};

/// See the module.
pub(super) struct PluginEntry {
    pub(super) slot: Slot,
    pub(super) file: PathBuf,
    pub(super) state: PluginState,
    /// The desired state, as far as the manifest could be read.
    pub(super) desired: DesiredState,
    /// Why the desired state is not reached.
    pub(super) failure: Option<LoadFailure>,
    pub(super) serving: Option<Generation>,
    pub(super) record: SlotRecord,
    pub(super) paused: bool,
    /// The swap in progress.
    pub(super) under_way: Option<SwapUnderWay>,
    /// Locked during a change of this plugin.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    pub(super) recorded_answers: Arc<ResponseCache>,
    /// The log of the previous generation.
    pub(super) previous_log: Option<Arc<LogSink>>,
    /// Log lines of the last self-test, and of a candidate that was not published.
    pub(super) candidate_lines: Vec<GuestLogLine>,
}

/// A swap in progress, and the generation that it publishes.
pub(super) struct SwapUnderWay {
    pub(super) progress: Arc<SwapProgress>,
    pub(super) meaning: Digest,
    /// If it was known before the artifact was fetched.
    pub(super) artifact: Option<Digest>,
    /// Whether the manifest names it. The manifest of a requested swap is written after the self-test.
    pub(super) written: bool,
}

impl SwapUnderWay {
    /// Whether it publishes this generation.
    pub(super) fn brings(&self, wanted: GenerationIdentity) -> bool {
        let artifact = self.artifact.or_else(|| self.progress.status().digest);
        self.meaning == wanted.meaning && artifact == Some(wanted.artifact)
    }
}

/// A failure, and the generation that failed.
#[derive(Clone, Debug)]
pub(super) struct LoadFailure {
    /// `None` if the desired generation could not be determined.
    pub(super) identity: Option<GenerationIdentity>,
    pub(super) stage: SwapStage,
    pub(super) reason: String,
    pub(super) at: SystemTime,
}

impl PluginEntry {
    pub(super) fn new(slot: Slot, file: PathBuf) -> Self {
        Self {
            slot,
            file,
            state: PluginState::Loading,
            desired: DesiredState::default(),
            failure: None,
            serving: None,
            record: SlotRecord::default(),
            paused: false,
            under_way: None,
            turn: Arc::default(),
            recorded_answers: Arc::default(),
            previous_log: None,
            candidate_lines: Vec::new(),
        }
    }

    /// The identity of the serving generation.
    pub(super) fn running(&self) -> Option<GenerationIdentity> {
        self.serving.as_ref()?;
        self.record.serving.as_ref().map(|release| release.identity)
    }

    /// The lanes of the serving generation outside a canary.
    pub(super) fn lanes(&self) -> LaneSet {
        if self.paused { LaneSet::Only(std::collections::BTreeSet::new()) } else { LaneSet::All }
    }

    /// Pauses or resumes.
    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if let Some(serving) = &self.serving {
            serving.set_lanes(self.lanes());
            self.state = if paused { PluginState::Paused } else { PluginState::Serving };
        }
    }

    /// Log lines of the serving generation, the previous one, and the last candidate that was not published.
    pub(super) fn lines(&self) -> Vec<GuestLogLine> {
        let mut lines = self.candidate_lines.clone();
        lines.extend(self.previous_log.iter().flat_map(|before| before.recent()));
        lines.extend(self.serving.iter().flat_map(|generation| generation.blueprint.log.recent()));
        lines.sort_by_key(|line| line.at);
        lines
    }

    /// The commands with which an operator can handle a refused candidate, given the manifest's rollout policy.
    pub(super) fn remedy(&self, identity: GenerationIdentity, care: &RolloutPolicy) -> String {
        let had = self.record.refusal(identity).map(|refusal| refusal.rollout(care)).unwrap_or_default();
        let mut words =
            format!("`retry` tries it again under the same rollout (`{}`)", care.with_override(had).to_flags());
        if self.serving.is_some() {
            words += ", `keep` has the manifest want what serves";
        }
        words
    }

    pub(super) fn status(&self, name: &str) -> PluginStatus {
        PluginStatus {
            name: name.to_owned(),
            file: self.file.clone(),
            state: self.state,
            paused: self.paused,
            desired: self.desired.clone(),
            failure: self.failure.as_ref().map(|failed| failed.reason.clone()),
            failed: self.failure.as_ref().map(|failed| PluginFailure {
                stage: failed.stage,
                reason: failed.reason.clone(),
                at: failed.at,
            }),
            serving: self.serving.as_ref().map(serving),
            kept: self
                .record
                .kept
                .iter()
                .map(|release| RetainedGeneration {
                    generation: release.number,
                    digest: release.identity.artifact,
                    since: release.since,
                    refused: self.record.refusal(release.identity).map(CandidateRefusal::describe),
                })
                .collect(),
            refused: self.record.last_refusal().map(|refusal| RefusedGeneration {
                digest: refusal.identity.artifact,
                verdict: refusal.verdict,
                stage: refusal.stage,
                reason: refusal.reason.clone(),
                at: refusal.at,
            }),
            rollout: self.under_way.as_ref().map(|swap| swap.progress.status()),
            state_usage: self.serving.as_ref().and_then(|serving| {
                let shelf = &serving.blueprint.state;
                shelf.is_granted().then(|| shelf.usage())
            }),
            queue: self.slot.snapshot(),
            terms: None,
        }
    }

    /// The effective manifest of the serving generation.
    pub(super) fn terms(&self) -> Option<EffectiveManifest> {
        self.serving.as_ref()?;
        let release = self.record.serving.as_ref()?;
        Manifest::parse(&self.file, &release.manifest).ok().map(|manifest| EffectiveManifest::from_manifest(&manifest))
    }
}

fn serving(generation: &Generation) -> ServingGeneration {
    let inspection = &generation.blueprint.artifact.inspection;
    ServingGeneration {
        generation: generation.number,
        digest: inspection.digest,
        contract: inspection.contract.clone(),
        since: generation.since,
        instances: generation.instances,
        normalised: generation.blueprint.normalise.is_some(),
        stats: generation.stats.snapshot(),
        requests_under_way: generation.blueprint.egress.in_flight(),
        log_losses: generation.blueprint.log.losses(),
    }
}
