//! Watches the directory of manifests and the artifacts that they name for changes.
//!
//! In: file system events, through `notify`. Out: a reconciliation, after a quiet period; and a slow rescan, for file
//! systems without events. Bounded: any number of changes leads to one reconciliation. Ends when its stop future
//! completes.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::change::ChangeCaller;
use super::{Plugins, PluginsInner};
use crate::change::Actor;
use crate::manifest;
use crate::manifest::Manifest;
use crate::rollout::progress::StepSender;

/// How long there must be no event before a reconciliation.
const QUIET_PERIOD: Duration = Duration::from_millis(200);
/// Maximum delay of a reconciliation while events continue.
const MAX_QUIET_WAIT: Duration = Duration::from_secs(2);
/// Interval of rescans without an event.
const RESCAN_INTERVAL: Duration = Duration::from_secs(30);

impl Plugins {
    /// Reconciles immediately, for changes since the start, and then whenever files change, until `stop` completes.
    pub async fn watch(&self, stop: impl Future<Output = ()>) {
        let (changed, mut changes) = mpsc::channel(1);
        let mut eyes = DirectoryWatcher::new(changed);
        let mut stop = pin!(stop);
        loop {
            // A disk that hangs must not prevent the host from shutting down.
            let watched = tokio::select! {
                () = &mut stop => return,
                watched = self.0.folders_to_watch() => watched,
            };
            eyes.watch_only(watched);
            let caller = ChangeCaller { who: Actor::File, steps: StepSender::default() };
            // After the watcher is set up, or changes in between would be missed. In a separate task, since a long swap
            // must not delay noticing later changes.
            self.0.spawn_reconcile(caller);
            let news = async {
                tokio::select! {
                    _ = changes.recv() => wait_until_quiet(&mut changes).await,
                    () = sleep(RESCAN_INTERVAL) => {}
                }
            };
            tokio::select! {
                () = &mut stop => return,
                () = news => {}
            }
        }
    }
}

/// Until nothing changes for a moment.
async fn wait_until_quiet(changes: &mut mpsc::Receiver<()>) {
    let patience = Instant::now() + MAX_QUIET_WAIT;
    loop {
        let until = (Instant::now() + QUIET_PERIOD).min(patience);
        if !matches!(timeout_at(until, changes.recv()).await, Ok(Some(()))) || Instant::now() >= patience {
            return;
        }
    }
}

impl PluginsInner {
    fn spawn_reconcile(self: &std::sync::Arc<Self>, caller: ChangeCaller) {
        let Ok(under_way) = self.changes.clone().try_read_owned() else { return };
        let inner = self.clone();
        self.guests.handle().spawn(async move {
            if let Err(problem) = inner.reconcile(&caller).await {
                tracing::warn!("cannot reconcile plugins, nothing was changed: {problem}");
            }
            drop(inner);
            drop(under_way);
        });
    }

    /// The directories to watch: those of manifests and artifacts, and of the targets of their symbolic links.
    async fn folders_to_watch(&self) -> BTreeSet<PathBuf> {
        let dir = self.dir.clone();
        self.run_blocking(move || folders(&dir)).await.unwrap_or_default()
    }
}

fn folders(dir: &Path) -> BTreeSet<PathBuf> {
    let manifests = manifest::list_files(dir).unwrap_or_default();
    let artifacts = manifests.iter().filter_map(|file| Manifest::read(file).ok()?.artifact);
    let files: Vec<_> = manifests.iter().cloned().chain(artifacts).chain([dir.to_owned()]).collect();
    let real = files.iter().filter_map(|file| file.canonicalize().ok());
    let parents = files.iter().cloned().chain(real).filter_map(|file| Some(file.parent()?.to_owned()));
    let named = |folder: PathBuf| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    parents.chain([dir.to_owned()]).map(named).filter(|folder| folder.is_dir()).collect()
}

/// The file system watcher, and the watched directories.
struct DirectoryWatcher {
    /// `None` if the system has no watcher available.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl DirectoryWatcher {
    fn new(changed: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // One queued event represents all.
            if event.is_ok_and(|event| is_change(event.kind)) {
                let _ = changed.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(
                "cannot watch files, so changed manifests are noticed only every {RESCAN_INTERVAL:?} or \
            on SIGHUP: {error}"
            );
        });
        Self { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    fn watch_only(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.watched.difference(&folders) {
            let _ = watcher.unwatch(gone);
        }
        // Known directories as well: a directory may have been replaced under the same name.
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(
                    "cannot watch {}, so changes in it are noticed only every {RESCAN_INTERVAL:?}: {error}",
                    folder.display()
                );
            }
        }
        self.watched = folders;
    }
}

/// Whether an event is a change; reads are not.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
        EventKind::Any | EventKind::Other => false,
    }
}
