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

use super::change::Caller;
use super::{Inner, Plugins};
use crate::plugin::change::Actor;
use crate::plugin::manifest::{self, Manifest};
use crate::plugin::rollout::progress::Teller;

/// How long nothing must have changed.
const QUIET: Duration = Duration::from_millis(200);
/// A directory that never is quiet is looked at all the same.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks that nobody asked for.
const RESCAN: Duration = Duration::from_secs(30);

impl Plugins {
    /// Reconciles at once, for what changed since the start, and then whenever files change, until `stop`.
    pub async fn watch(&self, stop: impl Future<Output = ()>) {
        let (changed, mut changes) = mpsc::channel(1);
        let mut eyes = Eyes::new(changed);
        let mut stop = pin!(stop);
        loop {
            // A disk that does not answer must not keep the host from ending.
            let watched = tokio::select! {
                () = &mut stop => return,
                watched = self.0.watched() => watched,
            };
            eyes.look_at(watched);
            let caller = Caller { who: Actor::File, teller: Teller::default() };
            // After the eyes are open: what changed before would never be told. And apart, since a swap that takes its
            // time must not keep later changes from being seen.
            self.0.reconcile_apart(caller);
            let news = async {
                tokio::select! {
                    _ = changes.recv() => quiet(&mut changes).await,
                    () = sleep(RESCAN) => {}
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
async fn quiet(changes: &mut mpsc::Receiver<()>) {
    let patience = Instant::now() + PATIENCE;
    loop {
        let until = (Instant::now() + QUIET).min(patience);
        if !matches!(timeout_at(until, changes.recv()).await, Ok(Some(()))) || Instant::now() >= patience {
            return;
        }
    }
}

impl Inner {
    fn reconcile_apart(self: &std::sync::Arc<Self>, caller: Caller) {
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
    async fn watched(&self) -> BTreeSet<PathBuf> {
        let dir = self.dir.clone();
        self.blocking(move || folders(&dir)).await.unwrap_or_default()
    }
}

fn folders(dir: &Path) -> BTreeSet<PathBuf> {
    let manifests = manifest::files(dir).unwrap_or_default();
    let artifacts = manifests.iter().filter_map(|file| Manifest::read(file).ok()?.artifact);
    let files: Vec<_> = manifests.iter().cloned().chain(artifacts).chain([dir.to_owned()]).collect();
    let real = files.iter().filter_map(|file| file.canonicalize().ok());
    let parents = files.iter().cloned().chain(real).filter_map(|file| Some(file.parent()?.to_owned()));
    let named = |folder: PathBuf| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
    parents.chain([dir.to_owned()]).map(named).filter(|folder| folder.is_dir()).collect()
}

/// The system's watcher, and what it watches.
struct Eyes {
    /// None where the system has none to give.
    watcher: Option<RecommendedWatcher>,
    on: BTreeSet<PathBuf>,
}

impl Eyes {
    fn new(changed: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // One that waits stands for all.
            if event.is_ok_and(|event| is_change(event.kind)) {
                let _ = changed.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!("changed manifests are seen only every {RESCAN:?}, or on SIGHUP: {error}");
        });
        Self { watcher: watcher.ok(), on: BTreeSet::new() }
    }

    fn look_at(&mut self, folders: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for gone in self.on.difference(&folders) {
            let _ = watcher.unwatch(gone);
        }
        // Those it knows too: a folder that was replaced is another one under the old name.
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!("changes in {} are seen only every {RESCAN:?}: {error}", folder.display());
            }
        }
        self.on = folders;
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
