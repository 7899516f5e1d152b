//! The stages of a swap until the candidate has started: fetch → digest → contract → grants → compile → start.

use std::sync::Arc;

use super::PluginsInner;
use crate::change::SwapStage;
use crate::generation::Candidate;
use crate::generation_stats::GenerationStats;
use crate::manifest::Manifest;
use crate::rollout::RolloutStopped;
use crate::rollout::progress::SwapProgress;
use barnabas_base::digest::Digest;
use barnabas_runtime::artifact;
use barnabas_runtime::artifact::{Artifact, Inspection};
use barnabas_runtime::artifact_pipeline::{ArtifactError, ExaminedArtifact};
use barnabas_runtime::capability::egress::{Egress, EgressLimits, EgressMode, EgressOptions};
use barnabas_runtime::capability::log::{GuestLogMode, LogSink};
use barnabas_runtime::capability::state::SlotState;
use barnabas_runtime::instance::{Blueprint, InstanceStartError, ReceiverInstance};

impl From<ArtifactError> for RolloutStopped {
    fn from(flaw: ArtifactError) -> Self {
        Self::failed(flaw.stage.into(), flaw.reason)
    }
}

impl PluginsInner {
    /// Creates and starts a candidate. Returns the digest of its artifact as well.
    pub(super) async fn candidate(
        &self,
        manifest: &Manifest,
        number: u64,
        progress: &SwapProgress,
    ) -> Result<(Candidate, Digest), RolloutStopped> {
        let (digest, bytes) = progress.run_stage(SwapStage::Fetch, self.fetch(manifest)).await?;
        progress.run_stage(SwapStage::Digest, self.store_artifact(manifest, digest, bytes)).await?;
        progress.set_digest(digest);
        let examined = progress.run_stage(SwapStage::Contract, self.examine(digest, manifest)).await?;
        progress.set_grantable_imports(examined.inspection.grantable_imports());
        let ungranted = ungranted(manifest, &examined.inspection, number);
        progress.run_stage(SwapStage::Grants, async { Ok(((), ungranted)) }).await?;
        let artifact = progress.run_stage(SwapStage::Compile, self.compile(examined, manifest)).await?;
        let blueprint = Arc::new(self.blueprint(manifest, artifact, number));
        let stats = Arc::new(GenerationStats::default());
        let first = progress.run_stage(SwapStage::Start, self.start_instance(&blueprint, &stats)).await;
        let first = first.inspect_err(|_| self.keep_log_lines(&manifest.name, blueprint.log.recent()))?;
        Ok((Candidate { number, blueprint, first, stats }, digest))
    }

    /// Finds the artifact in the store, or reads its file and returns the bytes.
    async fn fetch(&self, manifest: &Manifest) -> Result<((Digest, Option<Vec<u8>>), Option<String>), RolloutStopped> {
        if let Some(digest) = manifest.digest {
            let pipeline = self.pipeline.clone();
            if self.run_blocking(move || pipeline.contains(&digest)).await.unwrap_or(false) {
                return Ok(((digest, None), Some("from the store".into())));
            }
        }
        let path = manifest.artifact.clone().ok_or_else(|| {
            let digest = manifest.digest.map_or_else(String::new, |digest| digest.to_string());
            let name = &manifest.name;
            RolloutStopped::failed(
                SwapStage::Fetch,
                format!(
                    "`digest`: {digest} is not in the store, and no `artifact` says where to find it; hand it over \
                     with `barnabas plugin swap {name} FILE`"
                ),
            )
        })?;
        let shown = path.display().to_string();
        let read = self.run_blocking(move || artifact::read(&path).map(|bytes| (Digest::compute(&bytes), bytes))).await;
        let read = read.and_then(|read| read).map_err(|problem| format!("`artifact`: {problem}"));
        let (digest, bytes) = read.map_err(|problem| RolloutStopped::failed(SwapStage::Fetch, problem))?;
        Ok(((digest, Some(bytes)), Some(shown)))
    }

    /// Checks the digest, and stores the artifact.
    async fn store_artifact(
        &self,
        manifest: &Manifest,
        digest: Digest,
        bytes: Option<Vec<u8>>,
    ) -> Result<((), Option<String>), RolloutStopped> {
        check_digest(manifest.digest, digest)?;
        if let Some(bytes) = bytes {
            let pipeline = self.pipeline.clone();
            let kept = self.run_blocking(move || pipeline.store(&bytes)).await.and_then(|kept| kept);
            kept.map_err(|problem| RolloutStopped::failed(SwapStage::Fetch, problem))?;
        }
        Ok(((), Some(digest.to_string())))
    }

    async fn examine(
        &self,
        digest: Digest,
        manifest: &Manifest,
    ) -> Result<(ExaminedArtifact, Option<String>), RolloutStopped> {
        let examined = self.pipeline.examine(digest).await.map_err(|flaw| artifact_error(manifest, flaw))?;
        let speaks = examined.inspection.contract.as_ref().map(|version| format!("contract {version}"));
        Ok((examined, speaks))
    }

    async fn compile(
        &self,
        examined: ExaminedArtifact,
        manifest: &Manifest,
    ) -> Result<(Artifact, Option<String>), RolloutStopped> {
        let compiled = self.pipeline.compile(examined).await.map_err(|flaw| artifact_error(manifest, flaw))?;
        let how = if compiled.cached { "found compiled" } else { "compiled" };
        let pipeline = self.pipeline.clone();
        let linked = self.run_blocking(move || pipeline.link(&compiled)).await;
        let linked = linked.map_err(|problem| RolloutStopped::failed(SwapStage::Compile, problem))?;
        Ok((linked.map_err(|flaw| artifact_error(manifest, flaw))?, Some(how.into())))
    }

    fn blueprint(&self, manifest: &Manifest, artifact: Artifact, number: u64) -> Blueprint {
        let (name, grants) = (manifest.name.clone(), manifest.grants.clone());
        let answers = self.entry(&name, |entry| entry.recorded_answers.clone()).unwrap_or_default();
        let limits = EgressLimits { requests: manifest.requests, ..EgressLimits::default() };
        let options =
            EgressOptions { limits, self_addresses: self.own.clone(), responses: answers, ..EgressOptions::default() };
        Blueprint {
            artifact,
            settings: manifest.settings.clone(),
            limits: manifest.limits.clone(),
            normalise: manifest.normalise.clone(),
            egress: Egress::with_options(name.clone(), grants, EgressMode::Send, self.events.clone(), options),
            log: Arc::new(LogSink::new(name.clone(), number, GuestLogMode::HostLevels)),
            state: manifest
                .state_quota
                .map_or_else(SlotState::not_granted, |caps| SlotState::for_slot(&self.store, &name, caps)),
        }
    }

    async fn start_instance(
        &self,
        blueprint: &Arc<Blueprint>,
        stats: &GenerationStats,
    ) -> Result<(ReceiverInstance, Option<String>), RolloutStopped> {
        let blueprint = blueprint.clone();
        let start = async move { ReceiverInstance::start(&blueprint).await };
        let started =
            self.guests.handle().spawn(start).await.map_err(|_| RolloutStopped::host_failure(SwapStage::Start))?;
        let (instance, usage) = started.map_err(|error| {
            let key = if matches!(error, InstanceStartError::Refused(_)) { "settings" } else { "artifact" };
            RolloutStopped::failed(SwapStage::Start, format!("`{key}`: {error}"))
        })?;
        stats.record_usage(usage.cpu, 0);
        Ok((instance, Some(format!("{} µs of CPU", usage.cpu.as_micros()))))
    }
}

fn check_digest(wanted: Option<Digest>, found: Digest) -> Result<(), RolloutStopped> {
    match wanted {
        Some(wanted) if wanted != found => Err(RolloutStopped::failed(
            SwapStage::Digest,
            format!(
                "`digest`: {wanted} is wanted, and the artifact is {found}; put the right one in place, or correct the \
                 digest"
            ),
        )),
        _ => Ok(()),
    }
}

/// Describes the imports without a grant for the caller; also logs them, since there is no caller at the host's start.
fn ungranted(manifest: &Manifest, inspection: &Inspection, generation: u64) -> Option<String> {
    let ungranted = inspection.missing_grants(!manifest.grants.is_empty(), manifest.state_quota.is_some());
    ungranted.iter().for_each(|words| tracing::info!(plugin = &*manifest.name, generation, "{words}"));
    (!ungranted.is_empty()).then(|| ungranted.join("; "))
}

/// Adds the file name to an artifact error.
fn artifact_error(manifest: &Manifest, ArtifactError { stage, reason }: ArtifactError) -> RolloutStopped {
    let whose = manifest.artifact.as_ref().map_or_else(String::new, |path| format!(" {}", path.display()));
    RolloutStopped::failed(stage.into(), format!("`artifact`{whose}: {reason}"))
}
