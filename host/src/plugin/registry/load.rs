//! The stages of a load: fetch → digest → compile, contract and grants → start → publish → retire the old one.

use std::sync::Arc;

use super::{Inner, State};
use crate::capability::Granted;
use crate::capability::egress::{Egress, EgressMode, Options};
use crate::capability::log::{Keep, LogSink};
use crate::capability::state::Shelf;
use crate::plugin::artifact::{self, Artifact};
use crate::plugin::digest::Digest;
use crate::plugin::foundry::Flaw;
use crate::plugin::generation::{Candidate, Generation};
use crate::plugin::instance::{Blueprint, Instance, StartError};
use crate::plugin::manifest::Manifest;
use crate::plugin::vitals::Vitals;

impl Inner {
    /// The number of the generation that serves, or what went wrong before anything was published.
    pub(super) async fn load(self: Arc<Self>, manifest: Manifest, number: u64) -> Result<u64, String> {
        let artifact = self.fetched(&manifest).await?;
        let blueprint = Arc::new(self.blueprint(&manifest, artifact, number));
        let vitals = Arc::new(Vitals::default());
        let first = self.started(blueprint.clone(), &vitals).await?;
        let candidate = Candidate { number, blueprint, first, vitals };
        if let Some(old) = self.publish(&manifest, candidate) {
            let limits = &old.blueprint.limits;
            let (old_number, deadline) = (old.number, limits.deadline.saturating_add(limits.stop));
            let in_time = old.retire(deadline).await;
            let words = if in_time { "" } else { "what it held at its deadline was given back" };
            self.phase(&manifest.name, old_number, "retired", words.into());
        }
        Ok(number)
    }

    /// What blocks does so on guest threads, which are of lower priority.
    async fn fetched(&self, manifest: &Manifest) -> Result<Artifact, String> {
        let (path, digest) = (manifest.artifact.clone(), manifest.digest);
        let granted = Granted { http: !manifest.grants.is_empty(), state: manifest.state.is_some() };
        let foundry = self.foundry.clone();
        let keep = move || {
            let bytes = artifact::read(&path).map_err(|problem| format!("`artifact`: {problem}"))?;
            expect_digest(digest, &bytes)?;
            foundry.keep(&bytes).map_err(|problem| format!("`artifact` {}: {problem}", path.display()))
        };
        let digest = self.blocking(keep).await??;
        let flawed = |flaw: Flaw| format!("`artifact` {}: {flaw}", manifest.artifact.display());
        let compiled = self.foundry.compiled(digest).await.map_err(flawed)?;
        let foundry = self.foundry.clone();
        self.blocking(move || foundry.link(&compiled, granted)).await?.map_err(flawed)
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let done = self.guests.handle().spawn_blocking(work).await;
        done.map_err(|_| "the host broke while it loaded this artifact".into())
    }

    fn blueprint(&self, manifest: &Manifest, artifact: Artifact, number: u64) -> Blueprint {
        let (grants, events) = (manifest.grants.clone(), self.events.clone());
        let options = Options { own: self.own.clone(), ..Options::default() };
        Blueprint {
            artifact,
            settings: manifest.settings.clone(),
            limits: manifest.limits.clone(),
            egress: Egress::with_options(manifest.name.clone(), grants, EgressMode::Send, events, options),
            state: manifest.state.map_or_else(Shelf::none, |caps| Shelf::of(&self.store, &manifest.name, caps)),
            log: Arc::new(LogSink::new(manifest.name.clone(), number, Keep::AsHost)),
        }
    }

    async fn started(&self, blueprint: Arc<Blueprint>, vitals: &Vitals) -> Result<Instance, String> {
        let start = async move { Instance::start(&blueprint).await };
        let started =
            self.guests.handle().spawn(start).await.map_err(|_| "the host broke while it started this receiver")?;
        let (instance, usage) = started.map_err(|error| match error {
            StartError::Refused(_) => format!("`settings`: {error}"),
            StartError::ContentTypes(_) | StartError::Broke(_) => format!("`artifact`: {error}"),
        })?;
        vitals.used(usage.cpu, 0);
        Ok(instance)
    }

    /// From here on the new generation serves; the old one is returned.
    fn publish(&self, manifest: &Manifest, candidate: Candidate) -> Option<Generation> {
        self.entries(|entries| {
            let entry = entries.get_mut(&manifest.name)?;
            let new = candidate.serve(&entry.slot, manifest.instances, self.events.clone(), self.guests.handle());
            (entry.state, entry.failure) = (State::Serving, None);
            entry.slot.set_serving(true);
            entry.slot.retry_now();
            entry.serving.replace(new)
        })
    }
}

fn expect_digest(wanted: Option<Digest>, bytes: &[u8]) -> Result<(), String> {
    let found = Digest::of(bytes);
    match wanted {
        Some(wanted) if wanted != found => Err(format!(
            "`digest`: {wanted} is wanted, and the artifact is {found}; put the right one in place, or correct the digest"
        )),
        _ => Ok(()),
    }
}
