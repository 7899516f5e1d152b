//! The start of a host: first restores the previous generations, also after a kill, then reconciles with the directory.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::PluginsInner;
use super::change::ChangeCaller;
use super::directory::FoundManifest;
use super::reconcile::failed_result;
use super::record::{SLOT_RECORD_KIND, SlotRecord};
use super::swap::SwapOrder;
use crate::change::{Actor, ChangeOutcome, PluginChangeResult, RolloutOverride};
use crate::manifest::{Manifest, edit};
use crate::offering::NOT_OFFERED;
use crate::rollout::progress::StepSender;
use barnabas_storage::audit::AuditAction;

impl PluginsInner {
    /// See [`super::Plugins::start`].
    pub(super) async fn start(self: &Arc<Self>) -> Vec<PluginChangeResult> {
        let found = match self.read_manifests().await {
            Ok(found) => found,
            Err(problem) => return vec![failed_result("", problem)],
        };
        for FoundManifest { name, file, manifest } in &found {
            self.open(name, file, manifest.as_ref().map(Manifest::slot_config).unwrap_or_default());
        }
        // All records before the first restore: otherwise the artifacts of the others would be pruned.
        if let Err(problem) = self.read_records().await {
            return vec![failed_result("", format!("what served before cannot be read: {problem}"))];
        }
        let caller = ChangeCaller { who: Actor::Start, steps: StepSender::default() };
        let mut endings = Vec::new();
        for found in found {
            match self.restore(&found).await {
                Some(ending) => {
                    endings.push(ending);
                    // The restored generation serves in the meantime.
                    self.settle_later(caller.clone(), found);
                }
                None => endings.push(self.settle(&caller, found, RolloutOverride::default(), AuditAction::Load).await),
            }
        }
        self.started.store(true, Ordering::SeqCst);
        if !self.dispatch.has_slots() {
            tracing::warn!("{NOT_OFFERED}");
        }
        self.prune_artifacts().await;
        endings
    }

    /// Reads the record of each plugin. If this fails nothing may start: a refused version could serve again.
    pub(super) async fn read_records(&self) -> Result<(), String> {
        let store = self.store.clone();
        let records = self.run_blocking(move || store.records::<SlotRecord>(SLOT_RECORD_KIND)).await?;
        for (name, record) in records.map_err(|error| format!("{error:#}"))? {
            self.entry(&name, |entry| entry.record = record);
        }
        self.records_read.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Restores the generation that served before the restart. `None` if there was none, or if it failed.
    async fn restore(self: &Arc<Self>, found: &FoundManifest) -> Option<PluginChangeResult> {
        let release = self.entry(&found.name, |entry| entry.record.serving.clone()).flatten()?;
        let text = edit::with_digest(&release.manifest, release.identity.artifact).ok()?;
        let mut manifest = Manifest::parse(&found.file, &text).ok()?;
        manifest.text = release.manifest.into();
        manifest.paused = found.manifest.as_ref().is_ok_and(|wanted| wanted.paused);
        let order = SwapOrder::new(manifest, RolloutOverride::default(), AuditAction::Restore);
        let order = SwapOrder { number: Some(release.number), ..order };
        let turn = self.turn(&found.name).await;
        let ending = self.swap(&Actor::Start, order, &StepSender::default(), turn).await;
        (ending.verdict == ChangeOutcome::Done).then_some(ending)
    }

    fn settle_later(self: &Arc<Self>, caller: ChangeCaller, found: FoundManifest) {
        let Ok(under_way) = self.changes.clone().try_read_owned() else { return };
        let inner = self.clone();
        self.guests.handle().spawn(async move {
            inner.settle(&caller, found, RolloutOverride::default(), AuditAction::Swap).await;
            drop(inner);
            drop(under_way);
        });
    }
}
