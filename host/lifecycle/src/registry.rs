//! All plugins: name → slot and serving generation, and every way in which a generation replaces another.
//!
//! In: the directory of manifests, and [`PluginChange`]s. Out: slots that are served, and a [`PluginStatus`] of each.
//! One change of a plugin at a time, one compilation at a time. A slot is opened for every manifest, even if it cannot
//! be loaded: telemetry must stay offered, since some clients check only once. A failure before a candidate is
//! published leaves the previous generation serving.

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

use super::change::{Actor, ChangeRefused, ChangeStep, PluginChange, PluginChangeResult};
use super::generation::Generation;
use super::rollout::progress::{STEP_QUEUE, StepSender};
use super::status::{PluginState, PluginStatus};
use barnabas_base::digest::Digest;
use barnabas_pipeline::dispatch::{Dispatch, Slot};
use barnabas_pipeline::event::{EventData, Events, Topic};
use barnabas_runtime::artifact_pipeline::ArtifactPipeline;
use barnabas_runtime::capability::egress::SelfAddresses;
use barnabas_runtime::capability::log::GuestLogLine;
use barnabas_runtime::compiler::Compiler;
use barnabas_runtime::engine::Engines;
use barnabas_runtime::runtime::GuestRuntime;
use barnabas_storage::audit::AuditLog;
use barnabas_storage::store::Store;
use entry::PluginEntry;

/// Configuration of the plugins.
#[derive(Clone, Debug)]
pub struct PluginsConfig {
    /// The directory of manifests, which are the desired state.
    pub dir: PathBuf,
    /// The directory for artifacts, compiled code and the host's key; with `None`, artifacts are stored in memory and
    /// compiled at every start.
    pub data_dir: Option<PathBuf>,
    /// Number of threads for guests.
    pub guest_threads: usize,
    /// Which process compiles. By default this process does, without any limit: a program that can
    /// be a [`CompileChild`](barnabas_runtime::compiler::CompileChild) should say so.
    pub compiler: Compiler,
    /// Addresses of the host's admin endpoint: no guest may reach it, regardless of its grants.
    pub admin: Vec<SocketAddr>,
    /// Addresses of the host's listeners for clients: a guest may reach them only if its manifest allows it.
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

/// A handle to all plugins. Cheap to clone.
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
    /// Cached digests of artifact files, valid while the files do not change.
    digests: directory::DigestCache,
    /// Locked shared during every change, so that the shutdown can wait for changes.
    changes: Arc<RwLock<()>>,
    ending: AtomicBool,
    /// Whether every manifest was tried once.
    started: AtomicBool,
    /// Whether all records of the store were read.
    records_read: AtomicBool,
}

impl Plugins {
    /// Creates engines, artifact store, code cache and the guests' runtime. Runs nothing yet. `store` persists what
    /// must survive this host, and `audit` records who changed what. The error is one sentence: the artifacts cannot be
    /// stored, or were written by a newer release.
    pub fn new(
        config: &PluginsConfig,
        store: Store,
        audit: AuditLog,
        dispatch: Dispatch,
        events: Events,
    ) -> Result<Self, String> {
        let engines = Engines::new().map_err(|error| format!("cannot create the WebAssembly engine: {error:#}"))?;
        let guests = GuestRuntime::new(config.guest_threads)
            .map_err(|error| format!("cannot start the guests' threads: {error}"))?;
        let pipeline = ArtifactPipeline::open(
            config.data_dir.as_deref(),
            config.compiler.clone(),
            engines,
            guests.handle().clone(),
        )?;
        Ok(Self(Arc::new(PluginsInner {
            dir: config.dir.clone(),
            pipeline,
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

    /// Opens a slot for each manifest, restores the generations that served before the restart, and loads the others. A
    /// generation that is not the desired one is swapped after this returns. Returns one result for each manifest and
    /// each failure.
    pub async fn start(&self) -> Vec<PluginChangeResult> {
        self.0.start().await
    }

    /// Begins a change. Its steps arrive on the channel, the last is [`ChangeStep::Ended`]; dropping the channel does
    /// not abort the change.
    pub fn begin_change(&self, who: Actor, change: PluginChange) -> Result<mpsc::Receiver<ChangeStep>, ChangeRefused> {
        let (steps, received) = mpsc::channel(STEP_QUEUE);
        self.0.begin(who, change, StepSender::new(steps))?;
        Ok(received)
    }

    /// Makes a change and waits for its result.
    pub async fn change_and_wait(&self, who: Actor, change: PluginChange) -> Result<PluginChangeResult, ChangeRefused> {
        let mut steps = self.begin_change(who, change)?;
        while let Some(step) = steps.recv().await {
            if let ChangeStep::Ended(ending) = step {
                return Ok(ending);
            }
        }
        Err(host_is_ending())
    }

    /// Stores an artifact, so that a change can name it.
    pub async fn store_artifact(&self, artifact: bytes::Bytes) -> Result<Digest, String> {
        let pipeline = self.0.pipeline.clone();
        self.0.run_blocking(move || pipeline.store(&artifact)).await?
    }

    /// Whether every manifest was tried once since the start.
    pub fn is_started(&self) -> bool {
        self.0.started.load(Ordering::SeqCst)
    }

    /// Returns the status of every plugin, by name.
    pub fn status(&self) -> Vec<PluginStatus> {
        self.0.entries(|entries| entries.iter().map(|(name, entry)| entry.status(name)).collect())
    }

    /// Returns the status of one plugin, with the effective manifest of its serving generation.
    pub fn describe(&self, name: &str) -> Option<PluginStatus> {
        self.0.entry(name, |entry| PluginStatus { terms: entry.terms(), ..entry.status(name) })
    }

    /// Returns the retained log lines of a plugin, oldest first: of the serving and the previous generation, and of the
    /// last candidate that was not published; including the failures of their instances.
    pub fn log(&self, name: &str) -> Option<Vec<GuestLogLine>> {
        self.0.entries(|entries| entries.get(name).map(PluginEntry::lines))
    }

    /// The audit log.
    pub fn audit(&self) -> &AuditLog {
        &self.0.audit
    }

    /// The directory of manifests.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Aborts changes in progress, delivers queued pushes and stops every instance, within `patience`. Pushes that
    /// could not be delivered stay in the slots. True if everything completed in time.
    pub async fn shutdown(&self, patience: Duration) -> bool {
        let (begun, until) = (Instant::now(), Instant::now() + patience);
        self.0.end_changes();
        // A swap in its last stages may take long; the queues of other plugins do not wait for it.
        let changes = self.0.changes.clone();
        let mut ends = tokio::task::JoinSet::new();
        for (slot, generation) in self.0.take_serving() {
            ends.spawn(async move {
                // Half of the time is for the queue, so that instances have some left to finish and stop.
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

    /// Accesses one entry. `None` if the plugin does not exist.
    fn entry<T>(&self, name: &str, look: impl FnOnce(&mut PluginEntry) -> T) -> Option<T> {
        self.entries(|entries| entries.get_mut(name).map(look))
    }

    /// Runs blocking work on a thread of the guests' runtime.
    async fn run_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let done = self.guests.handle().spawn_blocking(work).await;
        done.map_err(|_| "internal error: a task of the host panicked; see the host's log".to_owned())
    }

    /// Aborts changes in progress, and prevents that new ones begin or are published.
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

    /// Removes artifacts that are no longer referenced. Does nothing until all records were read.
    async fn prune_artifacts(&self) {
        if !self.started.load(Ordering::SeqCst) || !self.records_read.load(Ordering::SeqCst) {
            return;
        }
        let wanted: BTreeSet<Digest> = self.entries(|entries| {
            let of = |entry: &PluginEntry| entry.record.artifacts().chain(entry.desired.digest).collect::<Vec<_>>();
            entries.values().flat_map(of).collect()
        });
        let pipeline = self.pipeline.clone();
        let _ = self.run_blocking(move || pipeline.prune(&wanted)).await;
    }

    fn emit_phase(&self, name: &Arc<str>, generation: u64, phase: &'static str, reason: String) {
        let slot = name.clone();
        self.events.emit(Topic::PluginPhase, || EventData::PluginPhase { slot, generation, phase, reason });
    }
}

fn host_is_ending() -> ChangeRefused {
    let message = "the host is shutting down; try again after its restart".into();
    ChangeRefused { code: super::change::ChangeRefusedCode::Ending, message }
}

#[cfg(test)]
mod tests;
