//! Whether the directory of manifests, or an artifact that one names, has changed.
//!
//! In: the system's word, through `notify`. Out: a reconciliation, once it has been quiet for a moment. Behind it a slow
//! rescan, for file systems that say nothing. Bounded: however many files change, one look follows. Ends when told to.

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
use crate::plugin::change::Actor;
use crate::plugin::manifest::{self, Manifest};
use crate::plugin::rollout::progress::StepSender;

/// How long nothing must have changed.
const QUIET_PERIOD: Duration = Duration::from_millis(200);
/// A directory that never is quiet is looked at all the same.
const MAX_QUIET_WAIT: Duration = Duration::from_secs(2);
/// Between two looks that nobody asked for.
const RESCAN_INTERVAL: Duration = Duration::from_secs(30);

impl Plugins {
    /// Reconciles at once, for what changed since the start, and then whenever files change, until `stop`.
    pub async fn watch(&self, stop: impl Future<Output = ()>) {
        let (changed, mut changes) = mpsc::channel(1);
        let mut eyes = DirectoryWatcher::new(changed);
        let mut stop = pin!(stop);
        loop {
            // A disk that does not answer must not keep the host from ending.
            let watched = tokio::select! {
                () = &mut stop => return,
                watched = self.0.folders_to_watch() => watched,
            };
            eyes.watch_only(watched);
            let caller = ChangeCaller { who: Actor::File, steps: StepSender::default() };
            // After the eyes are open: what changed before would never be told. And apart, since a swap that takes its
            // time must not keep later changes from being seen.
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
                tracing::warn!("plugins stay as they are: {problem}");
            }
            drop(inner);
            drop(under_way);
        });
    }

    /// Every directory in which something could change: of manifests and artifacts, and of what they link to.
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

/// The system's watcher, and what it watches.
struct DirectoryWatcher {
    /// None where the system has none to give.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl DirectoryWatcher {
    fn new(changed: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // One that waits stands for all.
            if event.is_ok_and(|event| is_change(event.kind)) {
                let _ = changed.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!("changed manifests are seen only every {RESCAN_INTERVAL:?}, or on SIGHUP: {error}");
        });
        Self { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    fn watch_only(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.watched.difference(&folders) {
            let _ = watcher.unwatch(gone);
        }
        // Those it knows too: a folder that was replaced is another one under the old name.
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!("changes in {} are seen only every {RESCAN_INTERVAL:?}: {error}", folder.display());
            }
        }
        self.watched = folders;
    }
}

/// Reading is none.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => true,
        EventKind::Any | EventKind::Other => false,
    }
}
