//! All plugins: name → slot and serving generation.
//!
//! In: manifests. Out: slots that are served, and a [`Status`] of each. One load at a time. A slot is opened for every
//! manifest, also for one that cannot be loaded: clients must go on being asked for telemetry, or they would fall
//! silent for good. Whatever fails before the new generation is published leaves the old one serving.

mod load;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::compiler::Compiler;
use super::engine::Engines;
use super::foundry::Foundry;
use super::generation::Generation;
use super::manifest::{self, Manifest};
use super::runtime::GuestRuntime;
use super::status::{Serving, State, Status};
use crate::capability::egress::Own;
use crate::capability::log::Line;
use crate::dispatch::{Dispatch, Slot, SlotConfig};
use crate::event::{Events, Payload, Topic};
use crate::store::{OpenError, Store};

/// What the room is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where artifacts, compiled code and the host's key are kept; `None` keeps artifacts in memory and compiles at every
    /// start.
    pub data_dir: Option<PathBuf>,
    /// Threads for guests.
    pub guest_threads: usize,
    /// Who compiles. Unless told otherwise this process does, and nothing bounds a compile in it: a program that can
    /// be a [`Child`](super::compiler::Child) should say so.
    pub compiler: Compiler,
    /// Where the host's own admin endpoint is bound: no guest may reach it, whatever its grants.
    pub admin: Vec<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self { data_dir: None, guest_threads: 2, compiler: Compiler::default(), admin: Vec::new() }
    }
}

/// Handle on all plugins. Cheap to clone.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    foundry: Foundry,
    store: Store,
    guests: GuestRuntime,
    dispatch: Dispatch,
    events: Events,
    own: Own,
    entries: Mutex<BTreeMap<Arc<str>, Entry>>,
    /// Held over a load, so that loads come one after the other.
    loading: tokio::sync::Mutex<()>,
}

struct Entry {
    slot: Slot,
    file: PathBuf,
    state: State,
    failure: Option<String>,
    serving: Option<Generation>,
    /// Number of the generation made last.
    number: u64,
}

/// What came of one file.
#[derive(Clone, Debug)]
pub struct LoadResult {
    /// The plugin's name; the file's where that cannot be one.
    pub name: Arc<str>,
    /// Its manifest.
    pub file: PathBuf,
    /// The generation that serves now, or one sentence with file, key, cause and remedy.
    pub outcome: Result<u64, String>,
}

impl Plugins {
    /// Makes engines, foundry and guest runtime. Runs nothing yet.
    pub fn new(config: &Config, dispatch: Dispatch, events: Events) -> Result<Self, String> {
        let engines = Engines::new().map_err(|error| format!("the WebAssembly engine does not start: {error:#}"))?;
        let guests = GuestRuntime::new(config.guest_threads)
            .map_err(|error| format!("the guests' threads do not start: {error}"))?;
        let store = config.data_dir.as_deref().map_or_else(|| Ok(Store::in_memory()), open_store)?;
        let foundry = Foundry::open(config, engines, guests.handle().clone())?;
        Ok(Self(Arc::new(Inner {
            foundry,
            store,
            guests,
            dispatch,
            events,
            own: Own::new(&config.admin),
            entries: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        })))
    }

    /// Loads every `*.toml` in a directory, in the order of their names. Opens all their slots before it loads the
    /// first. A directory that does not exist holds no plugins.
    pub async fn load_dir(&self, dir: &Path) -> Vec<LoadResult> {
        let files = match manifest::files(dir) {
            Ok(files) => files,
            Err(error) => return vec![unreadable(dir, &error)],
        };
        let read: Vec<_> = files.into_iter().map(|file| (Manifest::read(&file), file)).collect();
        for (manifest, file) in &read {
            let name = manifest::name(file).unwrap_or_else(|_| manifest::stand_in(file));
            self.0.open(&name, file, manifest.as_ref().map(Manifest::slot_config).unwrap_or_default());
        }
        let mut results = Vec::with_capacity(read.len());
        for (manifest, file) in read {
            results.push(match manifest {
                Ok(manifest) => self.load(manifest).await,
                Err(problem) => self.0.unloadable(file, problem),
            });
        }
        results
    }

    /// Loads one plugin, or replaces the generation of one that is loaded.
    pub async fn load(&self, manifest: Manifest) -> LoadResult {
        let _one_at_a_time = self.0.loading.lock().await;
        let (name, file) = (manifest.name.clone(), manifest.file.clone());
        let number = self.0.begin(&manifest);
        let outcome = self.0.clone().load(manifest, number).await;
        let outcome = outcome.map_err(|problem| format!("{}: {problem}", file.display()));
        match &outcome {
            Ok(_) => self.0.phase(&name, number, "serving", String::new()),
            Err(problem) => self.0.failed(&name, number, problem),
        }
        LoadResult { name, file, outcome }
    }

    /// Every plugin, by name.
    pub fn status(&self) -> Vec<Status> {
        self.0.entries(|entries| entries.iter().map(|(name, entry)| entry.status(name)).collect())
    }

    /// The log lines of a plugin's serving generation that are still kept, oldest first. `None` if nothing of that
    /// name serves.
    pub fn log(&self, name: &str) -> Option<Vec<Line>> {
        self.0.entries(|entries| Some(entries.get(name)?.serving.as_ref()?.blueprint.log.recent()))
    }

    /// Delivers what is queued, stops every instance, and ends all of it at `deadline` at the latest. What could not
    /// be delivered stays in the slots. True if everything ended by itself.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        let _no_load = self.0.loading.lock().await;
        let until = Instant::now() + deadline;
        let mut ends = tokio::task::JoinSet::new();
        for (slot, generation) in self.0.take_all() {
            ends.spawn(async move {
                // Half of the time belongs to what is queued, so that instances are left some to finish and stop.
                let drained = slot.drain(Instant::now() + deadline / 2).await;
                generation.retire(until.saturating_duration_since(Instant::now())).await && drained
            });
        }
        let mut clean = true;
        while let Some(end) = ends.join_next().await {
            clean &= end.unwrap_or(false);
        }
        clean
    }
}

impl Inner {
    fn entries<T>(&self, look: impl FnOnce(&mut BTreeMap<Arc<str>, Entry>) -> T) -> T {
        look(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The slot of that name, opened or set up anew.
    fn open(&self, name: &Arc<str>, file: &Path, config: SlotConfig) {
        self.entries(|entries| match entries.get_mut(name) {
            Some(entry) => entry.slot.reconfigure(config),
            None => {
                // Only this room opens slots under plugins' names; another's is served all the same.
                let opened = self.dispatch.open(name, config);
                let slot = opened.ok().or_else(|| self.dispatch.slot(name));
                let slot = slot.expect("a slot that cannot be opened is open");
                let file = file.to_owned();
                let entry = Entry { slot, file, state: State::Loading, failure: None, serving: None, number: 0 };
                entries.insert(name.clone(), entry);
            }
        });
    }

    /// A number for the next generation of this plugin.
    fn begin(&self, manifest: &Manifest) -> u64 {
        self.open(&manifest.name, &manifest.file, manifest.slot_config());
        let number = self.entries(|entries| {
            let entry = entries.get_mut(&manifest.name).expect("it was opened above");
            entry.file.clone_from(&manifest.file);
            entry.number += 1;
            entry.number
        });
        self.phase(&manifest.name, number, "loading", manifest.artifact.display().to_string());
        number
    }

    fn failed(&self, name: &Arc<str>, number: u64, problem: &str) {
        self.entries(|entries| {
            let Some(entry) = entries.get_mut(name) else { return };
            entry.failure = Some(problem.to_owned());
            if entry.serving.is_none() {
                entry.state = State::Failed;
                entry.slot.set_serving(false);
            }
        });
        self.phase(name, number, "failed", problem.to_owned());
    }

    fn unloadable(&self, file: PathBuf, problem: String) -> LoadResult {
        let name = manifest::name(&file).unwrap_or_else(|_| manifest::stand_in(&file));
        self.failed(&name, 0, &problem);
        LoadResult { name, file, outcome: Err(problem) }
    }

    fn take_all(&self) -> Vec<(Slot, Generation)> {
        self.entries(|entries| {
            let stop = |entry: &mut Entry| {
                entry.state = State::Stopped;
                Some((entry.slot.clone(), entry.serving.take()?))
            };
            entries.values_mut().filter_map(stop).collect()
        })
    }

    fn phase(&self, name: &Arc<str>, generation: u64, phase: &'static str, reason: String) {
        let slot = name.clone();
        self.events.emit(Topic::PluginPhase, || Payload::PluginPhase { slot, generation, phase, reason });
    }
}

impl Entry {
    fn status(&self, name: &str) -> Status {
        Status {
            name: name.to_string(),
            file: self.file.clone(),
            state: self.state,
            failure: self.failure.clone(),
            serving: self.serving.as_ref().map(serving),
            queue: self.slot.snapshot(),
        }
    }
}

fn serving(generation: &Generation) -> Serving {
    let inspection = &generation.blueprint.artifact.inspection;
    Serving {
        generation: generation.number,
        digest: inspection.digest,
        contract: inspection.contract.clone(),
        since: generation.since,
        instances: generation.instances,
        vitals: generation.vitals.read(),
        log_losses: generation.blueprint.log.losses(),
    }
}

/// A disk that says no costs what is remembered and nothing else. A store that is there and cannot be used does not:
/// to go on without would be to lose it.
fn open_store(data_dir: &Path) -> Result<Store, String> {
    match Store::open(data_dir) {
        Ok(store) => Ok(store),
        Err(error @ (OpenError::Newer { .. } | OpenError::Locked(_) | OpenError::Damaged(..))) => {
            Err(error.to_string())
        }
        Err(error @ OpenError::Io(..)) => {
            tracing::error!("state of receivers is kept in memory, and lost when this host ends: {error}");
            Ok(Store::in_memory())
        }
    }
}

fn unreadable(dir: &Path, error: &io::Error) -> LoadResult {
    let problem = format!("{}: the plugins' directory cannot be read: {error}", dir.display());
    LoadResult { name: dir.display().to_string().into(), file: dir.to_owned(), outcome: Err(problem) }
}

#[cfg(test)]
mod tests;
