//! All plugins: name → slot and serving generation, and every way in which one takes the place of another.
//!
//! In: the directory of manifests, and [`Change`]s. Out: slots that are served, and a [`Status`] of each. One change of
//! a plugin at a time, one compilation at a time. A slot is opened for every manifest, also for one that cannot be
//! loaded: clients must go on being asked for telemetry, or they would fall silent for good. Whatever fails before a
//! candidate is published leaves the old generation serving.

mod change;
mod directory;
mod entry;
mod reconcile;
mod record;
mod removal;
mod rollback;
mod stages;
mod start;
mod swap;
mod trials;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, mpsc};
use tokio::time::{Instant, timeout_at};

use super::artifact_pipeline::ArtifactPipeline;
use super::change::{Actor, ChangeRefused, ChangeStep, PluginChange, PluginChangeResult};
use super::compiler::Compiler;
use super::digest::Digest;
use super::engine::Engines;
use super::generation::Generation;
use super::rollout::progress::{STEP_QUEUE, StepSender};
use super::runtime::GuestRuntime;
use super::status::{PluginState, PluginStatus};
use crate::audit::AuditLog;
use crate::capability::egress::SelfAddresses;
use crate::capability::log::GuestLogLine;
use crate::dispatch::{Dispatch, Slot};
use crate::event::{EventData, Events, Topic};
use crate::store::Store;
use entry::PluginEntry;

/// What the room is told.
#[derive(Clone, Debug)]
pub struct PluginsConfig {
    /// The manifests, which are the desired state.
    pub dir: PathBuf,
    /// Where artifacts, compiled code and the host's key are kept; `None` keeps the artifacts in memory and compiles at
    /// every start.
    pub data_dir: Option<PathBuf>,
    /// Threads for guests.
    pub guest_threads: usize,
    /// Who compiles. Unless told otherwise this process does, and nothing bounds a compile in it: a program that can
    /// be a [`CompileChild`](super::compiler::CompileChild) should say so.
    pub compiler: Compiler,
    /// Where the host's own admin endpoint is bound: no guest may reach it, whatever its grants.
    pub admin: Vec<SocketAddr>,
    /// Where its listeners for clients are bound: a guest reaches them only where its manifest says so.
    pub listeners: Vec<SocketAddr>,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dir: "plugins.d".into(),
            data_dir: None,
            guest_threads: 2,
            compiler: Compiler::default(),
            admin: Vec::new(),
            listeners: Vec::new(),
        }
    }
}

/// Handle on all plugins. Cheap to clone.
#[derive(Clone)]
pub struct Plugins(Arc<PluginsInner>);

struct PluginsInner {
    dir: PathBuf,
    pipeline: ArtifactPipeline,
    guests: GuestRuntime,
    store: Store,
    audit: AuditLog,
    dispatch: Dispatch,
    events: Events,
    own: SelfAddresses,
    entries: Mutex<BTreeMap<Arc<str>, PluginEntry>>,
    /// Digests of artifacts on disk, as long as the files do not change.
    digests: directory::DigestCache,
    /// Held shared over every change: the end of the host waits for them.
    changes: Arc<RwLock<()>>,
    ending: AtomicBool,
    /// Every manifest was tried once.
    started: AtomicBool,
    /// Whether all that the store remembers could be read.
    records_read: AtomicBool,
}

impl Plugins {
    /// Makes engines, the places of artifacts and code, and the guests' runtime. Runs nothing yet. What is to outlive
    /// this host goes into `store`, and who changed what into `audit`. The error is one sentence: the artifacts cannot
    /// be kept, or were written by a newer release.
    pub fn new(
        config: &PluginsConfig,
        store: Store,
        audit: AuditLog,
        dispatch: Dispatch,
        events: Events,
    ) -> Result<Self, String> {
        let engines = Engines::new().map_err(|error| format!("the WebAssembly engine does not start: {error:#}"))?;
        let guests = GuestRuntime::new(config.guest_threads)
            .map_err(|error| format!("the guests' threads do not start: {error}"))?;
        let foundry = ArtifactPipeline::open(
            config.data_dir.as_deref(),
            config.compiler.clone(),
            engines,
            guests.handle().clone(),
        )?;
        Ok(Self(Arc::new(PluginsInner {
            dir: config.dir.clone(),
            pipeline: foundry,
            guests,
            store,
            audit,
            dispatch,
            events,
            own: SelfAddresses::new(&config.admin, &config.listeners),
            entries: Mutex::default(),
            digests: directory::DigestCache::default(),
            changes: Arc::default(),
            ending: AtomicBool::new(false),
            started: AtomicBool::new(false),
            records_read: AtomicBool::new(false),
        })))
    }

    /// Opens a slot for each manifest, brings back what served before the host ended, and loads what never did. What
    /// serves and is not what is wanted is swapped after this returns. One ending for each manifest and each failure.
    pub async fn start(&self) -> Vec<PluginChangeResult> {
        self.0.start().await
    }

    /// Begins a change. Its steps come through the channel, the last is [`ChangeStep::Ended`]; dropping the channel does not
    /// end the change.
    pub fn begin_change(&self, who: Actor, change: PluginChange) -> Result<mpsc::Receiver<ChangeStep>, ChangeRefused> {
        let (steps, told) = mpsc::channel(STEP_QUEUE);
        self.0.begin(who, change, StepSender::new(steps))?;
        Ok(told)
    }

    /// The same, to its end.
    pub async fn change_and_wait(&self, who: Actor, change: PluginChange) -> Result<PluginChangeResult, ChangeRefused> {
        let mut steps = self.begin_change(who, change)?;
        while let Some(step) = steps.recv().await {
            if let ChangeStep::Ended(ending) = step {
                return Ok(ending);
            }
        }
        Err(host_is_ending())
    }

    /// Keeps an artifact, so that a change can name it.
    pub async fn store_artifact(&self, artifact: bytes::Bytes) -> Result<Digest, String> {
        let foundry = self.0.pipeline.clone();
        self.0.run_blocking(move || foundry.store(&artifact)).await?
    }

    /// Whether every manifest of the start was tried once.
    pub fn is_started(&self) -> bool {
        self.0.started.load(Ordering::SeqCst)
    }

    /// Every plugin, by name.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.0.entries(|entries| entries.iter().map(|(name, entry)| entry.status(name)).collect())
    }

    /// One of them, with the terms under which it runs.
    pub fn describe(&self, name: &str) -> Option<PluginStatus> {
        self.0.entry(name, |entry| PluginStatus { terms: entry.terms(), ..entry.status(name) })
    }

    /// The log lines of a plugin that are still kept, oldest first: of what serves, of what served before, and of the last
    /// candidate that did not come to it; and how their instances broke.
    pub fn log(&self, name: &str) -> Option<Vec<GuestLogLine>> {
        self.0.entries(|entries| entries.get(name).map(PluginEntry::lines))
    }

    /// Who changed what.
    pub fn audit(&self) -> &AuditLog {
        &self.0.audit
    }

    /// The directory of manifests.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Ends what is under way, delivers what is queued, stops every instance, and ends all of it after `patience` at
    /// the latest. What could not be delivered stays in the slots. True if everything ended by itself.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        let (begun, until) = (Instant::now(), Instant::now() + patience);
        self.0.end_changes();
        // A swap in its last stages may take its time; the queues of others do not wait for it.
        let changes = self.0.changes.clone();
        let mut ends = tokio::task::JoinSet::new();
        for (slot, generation) in self.0.take_serving() {
            ends.spawn(async move {
                // Half of the time belongs to what is queued, so that instances are left some to finish and stop.
                let drained = slot.drain(begun + patience / 2).await;
                generation.retire(until.saturating_duration_since(Instant::now())).await && drained
            });
        }
        let mut clean = timeout_at(until, changes.write()).await.is_ok();
        while let Some(end) = ends.join_next().await {
            clean &= end.unwrap_or(false);
        }
        clean
    }
}

impl PluginsInner {
    fn entries<T>(&self, look: impl FnOnce(&mut BTreeMap<Arc<str>, PluginEntry>) -> T) -> T {
        look(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at one of them. `None` where it is gone.
    fn entry<T>(&self, name: &str, look: impl FnOnce(&mut PluginEntry) -> T) -> Option<T> {
        self.entries(|entries| entries.get_mut(name).map(look))
    }

    /// On a guest thread that may block.
    async fn run_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let done = self.guests.handle().spawn_blocking(work).await;
        done.map_err(|_| "the host broke at this; see its log".to_owned())
    }

    /// From now on nothing is published, and nothing begins.
    fn end_changes(&self) {
        self.ending.store(true, Ordering::SeqCst);
        self.entries(|entries| {
            entries.values().filter_map(|entry| entry.under_way.as_ref()).for_each(|swap| {
                swap.progress.abort("the host ends");
            });
        });
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    fn take_serving(&self) -> Vec<(Slot, Generation)> {
        self.entries(|entries| {
            let stop = |entry: &mut PluginEntry| {
                entry.state = PluginState::Stopped;
                Some((entry.slot.clone(), entry.serving.take()?))
            };
            entries.values_mut().filter_map(stop).collect()
        })
    }

    /// Throws away artifacts that nobody could want any more. Not before everything that is remembered is known.
    async fn prune_artifacts(&self) {
        if !self.started.load(Ordering::SeqCst) || !self.records_read.load(Ordering::SeqCst) {
            return;
        }
        let wanted: BTreeSet<Digest> = self.entries(|entries| {
            let of = |entry: &PluginEntry| entry.record.artifacts().chain(entry.desired.digest).collect::<Vec<_>>();
            entries.values().flat_map(of).collect()
        });
        let foundry = self.pipeline.clone();
        let _ = self.run_blocking(move || foundry.prune(&wanted)).await;
    }

    fn emit_phase(&self, name: &Arc<str>, generation: u64, phase: &'static str, reason: String) {
        let slot = name.clone();
        self.events.emit(Topic::PluginPhase, || EventData::PluginPhase { slot, generation, phase, reason });
    }
}

fn host_is_ending() -> ChangeRefused {
    let message = "the host is ending; ask the next one".into();
    ChangeRefused { code: super::change::ChangeRefusedCode::Ending, message }
}

#[cfg(test)]
mod tests;
