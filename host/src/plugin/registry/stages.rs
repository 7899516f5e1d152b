//! The stages of a swap up to a candidate that has started: fetch → digest → contract → grants → compile → start.

use std::sync::Arc;

use super::Inner;
use crate::capability::egress::{Egress, EgressLimits, EgressMode, EgressOptions};
use crate::capability::log::{GuestLogMode, LogSink};
use crate::capability::state::SlotState;
use crate::plugin::artifact::{self, Artifact, Inspection};
use crate::plugin::change::Stage;
use crate::plugin::digest::Digest;
use crate::plugin::foundry::{Examined, Flaw};
use crate::plugin::generation::Candidate;
use crate::plugin::instance::{Blueprint, Instance, StartError};
use crate::plugin::manifest::Manifest;
use crate::plugin::rollout::Stop;
use crate::plugin::rollout::progress::Progress;
use crate::plugin::vitals::Vitals;

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Self::failed(flaw.stage.into(), flaw.reason)
    }
}

impl Inner {
    /// A candidate that has started, and the digest of its artifact.
    pub(super) async fn candidate(
        &self,
        manifest: &Manifest,
        number: u64,
        progress: &Progress,
    ) -> Result<(Candidate, Digest), Stop> {
        let (digest, bytes) = progress.stage(Stage::Fetch, self.fetched(manifest)).await?;
        progress.stage(Stage::Digest, self.deposited(manifest, digest, bytes)).await?;
        progress.of(digest);
        let examined = progress.stage(Stage::Contract, self.examined(digest, manifest)).await?;
        progress.asking(examined.inspection.asks());
        let ungranted = ungranted(manifest, &examined.inspection, number);
        progress.stage(Stage::Grants, async { Ok(((), ungranted)) }).await?;
        let artifact = progress.stage(Stage::Compile, self.compiled(examined, manifest)).await?;
        let blueprint = Arc::new(self.blueprint(manifest, artifact, number));
        let vitals = Arc::new(Vitals::default());
        let first = progress.stage(Stage::Start, self.started(&blueprint, &vitals)).await;
        let first = first.inspect_err(|_| self.keep_words(&manifest.name, blueprint.log.recent()))?;
        Ok((Candidate { number, blueprint, first, vitals }, digest))
    }

    /// From the store where it has what is wanted, else from the file, whose bytes come with it.
    async fn fetched(&self, manifest: &Manifest) -> Result<((Digest, Option<Vec<u8>>), Option<String>), Stop> {
        if let Some(digest) = manifest.digest {
            let foundry = self.foundry.clone();
            if self.blocking(move || foundry.has(&digest)).await.unwrap_or(false) {
                return Ok(((digest, None), Some("from the store".into())));
            }
        }
        let path = manifest.artifact.clone().ok_or_else(|| {
            let digest = manifest.digest.map_or_else(String::new, |digest| digest.to_string());
            let name = &manifest.name;
            Stop::failed(
                Stage::Fetch,
                format!(
                    "`digest`: {digest} is not in the store, and no `artifact` says where to find it; hand it over \
                     with `barnabas plugin swap {name} FILE`"
                ),
            )
        })?;
        let shown = path.display().to_string();
        let read = self.blocking(move || artifact::read(&path).map(|bytes| (Digest::of(&bytes), bytes))).await;
        let read = read.and_then(|read| read).map_err(|problem| format!("`artifact`: {problem}"));
        let (digest, bytes) = read.map_err(|problem| Stop::failed(Stage::Fetch, problem))?;
        Ok(((digest, Some(bytes)), Some(shown)))
    }

    /// Where it is what is wanted, it is kept under its digest.
    async fn deposited(
        &self,
        manifest: &Manifest,
        digest: Digest,
        bytes: Option<Vec<u8>>,
    ) -> Result<((), Option<String>), Stop> {
        expected(manifest.digest, digest)?;
        if let Some(bytes) = bytes {
            let foundry = self.foundry.clone();
            let kept = self.blocking(move || foundry.keep(&bytes)).await.and_then(|kept| kept);
            kept.map_err(|problem| Stop::failed(Stage::Fetch, problem))?;
        }
        Ok(((), Some(digest.to_string())))
    }

    async fn examined(&self, digest: Digest, manifest: &Manifest) -> Result<(Examined, Option<String>), Stop> {
        let examined = self.foundry.examined(digest).await.map_err(|flaw| about(manifest, flaw))?;
        let speaks = examined.inspection.contract.as_ref().map(|version| format!("contract {version}"));
        Ok((examined, speaks))
    }

    async fn compiled(&self, examined: Examined, manifest: &Manifest) -> Result<(Artifact, Option<String>), Stop> {
        let compiled = self.foundry.compiled(examined).await.map_err(|flaw| about(manifest, flaw))?;
        let how = if compiled.cached { "found compiled" } else { "compiled" };
        let foundry = self.foundry.clone();
        let linked = self.blocking(move || foundry.link(&compiled)).await;
        let linked = linked.map_err(|problem| Stop::failed(Stage::Compile, problem))?;
        Ok((linked.map_err(|flaw| about(manifest, flaw))?, Some(how.into())))
    }

    fn blueprint(&self, manifest: &Manifest, artifact: Artifact, number: u64) -> Blueprint {
        let (name, grants) = (manifest.name.clone(), manifest.grants.clone());
        let answers = self.entry(&name, |entry| entry.answers.clone()).unwrap_or_default();
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
                .state
                .map_or_else(SlotState::not_granted, |caps| SlotState::for_slot(&self.store, &name, caps)),
        }
    }

    async fn started(&self, blueprint: &Arc<Blueprint>, vitals: &Vitals) -> Result<(Instance, Option<String>), Stop> {
        let blueprint = blueprint.clone();
        let start = async move { Instance::start(&blueprint).await };
        let started = self.guests.handle().spawn(start).await.map_err(|_| Stop::broke(Stage::Start))?;
        let (instance, usage) = started.map_err(|error| {
            let key = if matches!(error, StartError::Refused(_)) { "settings" } else { "artifact" };
            Stop::failed(Stage::Start, format!("`{key}`: {error}"))
        })?;
        vitals.used(usage.cpu, 0);
        Ok((instance, Some(format!("{} µs of CPU", usage.cpu.as_micros()))))
    }
}

fn expected(wanted: Option<Digest>, found: Digest) -> Result<(), Stop> {
    match wanted {
        Some(wanted) if wanted != found => Err(Stop::failed(
            Stage::Digest,
            format!(
                "`digest`: {wanted} is wanted, and the artifact is {found}; put the right one in place, or correct the \
                 digest"
            ),
        )),
        _ => Ok(()),
    }
}

/// What the candidate imports without a grant, for who asked for it; nobody did at the start of a host, so the log has it
/// too.
fn ungranted(manifest: &Manifest, inspection: &Inspection, generation: u64) -> Option<String> {
    let ungranted = inspection.ungranted(!manifest.grants.is_empty(), manifest.state.is_some());
    ungranted.iter().for_each(|words| tracing::info!(plugin = &*manifest.name, generation, "{words}"));
    (!ungranted.is_empty()).then(|| ungranted.join("; "))
}

/// Says of which file, where it was one.
fn about(manifest: &Manifest, Flaw { stage, reason }: Flaw) -> Stop {
    let whose = manifest.artifact.as_ref().map_or_else(String::new, |path| format!(" {}", path.display()));
    Stop::failed(stage.into(), format!("`artifact`{whose}: {reason}"))
}
