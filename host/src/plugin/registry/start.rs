//! The start of a host: first what served before, be it that the last host was killed, then what the directory wants.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Inner;
use super::change::Caller;
use super::directory::Found;
use super::reconcile::failed;
use super::record::{KIND, Record};
use super::swap::Order;
use crate::audit::Action;
use crate::plugin::change::{Actor, ChangeOutcome, Ending, Plan};
use crate::plugin::manifest::{Manifest, edit};
use crate::plugin::offering::NOT_OFFERED;
use crate::plugin::rollout::progress::Teller;

impl Inner {
    /// See [`super::Plugins::start`].
    pub(super) async fn start(self: &Arc<Self>) -> Vec<Ending> {
        let found = match self.look().await {
            Ok(found) => found,
            Err(problem) => return vec![failed("", problem)],
        };
        for Found { name, file, manifest } in &found {
            self.open(name, file, manifest.as_ref().map(Manifest::slot_config).unwrap_or_default());
        }
        // All of them before the first is brought back: what is remembered of one is not thrown away for another.
        if let Err(problem) = self.recall().await {
            return vec![failed("", format!("what served before cannot be read: {problem}"))];
        }
        let caller = Caller { who: Actor::Start, teller: Teller::default() };
        let mut endings = Vec::new();
        for found in found {
            match self.restore(&found).await {
                Some(ending) => {
                    endings.push(ending);
                    // What serves need not wait for what is wanted.
                    self.later(caller.clone(), found);
                }
                None => endings.push(self.settle(&caller, found, Plan::default(), Action::Load).await),
            }
        }
        self.started.store(true, Ordering::SeqCst);
        if !self.dispatch.has_slots() {
            tracing::warn!("{NOT_OFFERED}");
        }
        self.tidy().await;
        endings
    }

    /// What the store remembers of each plugin. Where that cannot be read nothing may be started: a version that was
    /// refused would serve again.
    pub(super) async fn recall(&self) -> Result<(), String> {
        let store = self.store.clone();
        let records = self.blocking(move || store.records::<Record>(KIND)).await?;
        for (name, record) in records.map_err(|error| format!("{error:#}"))? {
            self.entry(&name, |entry| entry.record = record);
        }
        self.recalled.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Brings back what served before the host ended, be it killed. None where nothing did, or where that failed.
    async fn restore(self: &Arc<Self>, found: &Found) -> Option<Ending> {
        let release = self.entry(&found.name, |entry| entry.record.serving.clone()).flatten()?;
        let text = edit::pinned(&release.manifest, release.identity.artifact).ok()?;
        let mut manifest = Manifest::parse(&found.file, &text).ok()?;
        manifest.text = release.manifest.into();
        manifest.paused = found.manifest.as_ref().is_ok_and(|wanted| wanted.paused);
        let order = Order::new(manifest, Plan::default(), Action::Restore);
        let order = Order { number: Some(release.number), ..order };
        let turn = self.turn(&found.name).await;
        let ending = self.swap(&Actor::Start, order, &Teller::default(), turn).await;
        (ending.verdict == ChangeOutcome::Done).then_some(ending)
    }

    fn later(self: &Arc<Self>, caller: Caller, found: Found) {
        let Ok(under_way) = self.changes.clone().try_read_owned() else { return };
        let inner = self.clone();
        self.guests.handle().spawn(async move {
            inner.settle(&caller, found, Plan::default(), Action::Swap).await;
            drop(inner);
            drop(under_way);
        });
    }
}
