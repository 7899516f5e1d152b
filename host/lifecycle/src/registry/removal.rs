//! Removal of a plugin: its queue is delivered for a limited time, then everything is removed, its name last.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::change::ChangeCaller;
use super::{PluginState, PluginsInner};
use crate::change::{ChangeOutcome, PluginChangeResult};
use crate::offering::NO_LONGER_OFFERED;
use barnabas_pipeline::dispatch::LaneSet;
use barnabas_storage::audit::AuditAction;

/// How long a manifest must be missing before its plugin is removed.
const MANIFEST_GRACE: Duration = Duration::from_secs(1);
/// How long a removed plugin may take to deliver its queue.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

impl PluginsInner {
    /// Removes a plugin whose manifest is gone.
    pub(super) async fn remove_if_gone(
        self: &Arc<Self>,
        caller: &ChangeCaller,
        name: Arc<str>,
    ) -> Option<PluginChangeResult> {
        let new = self.entry(&name, |entry| entry.under_way.is_some() && entry.serving.is_none());
        if new == Some(true) {
            // A command is loading it, and has not written its manifest yet.
            return None;
        }
        // Editors remove the old file before they create the new one.
        sleep(MANIFEST_GRACE).await;
        if !self.manifest_is_gone(&name).await {
            return None;
        }
        self.supersede(&name, "its manifest is gone");
        let _turn = self.turn(&name).await;
        if !self.manifest_is_gone(&name).await {
            return None;
        }
        let before = self.runs(&name);
        let message = self.remove_plugin(&name).await;
        tracing::info!(plugin = &*name, who = %caller.who, "{message}");
        self.audit_change(&caller.who, &name, AuditAction::Remove, before, ChangeOutcome::Done, &message).await;
        let (plugin, verdict) = (name.to_string(), ChangeOutcome::Done);
        Some(PluginChangeResult { plugin, verdict, serving: None, stage: None, message, grants: Vec::new() })
    }

    /// Whether the manifest is missing from an existing directory. An I/O error does not count as missing.
    async fn manifest_is_gone(&self, name: &str) -> bool {
        let Some(file) = self.entry(name, |entry| entry.file.clone()) else { return false };
        let dir = self.dir.clone();
        let gone = move || {
            let absent = file.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            absent && dir.is_dir()
        };
        self.run_blocking(gone).await.unwrap_or(false)
    }

    /// Removes a plugin while its lock is held: the queue is delivered for a limited time, then shed. Returns a message
    /// about it. The name stays in use until everything is removed.
    pub(super) async fn remove_plugin(&self, name: &Arc<str>) -> String {
        let slot = self.entry(name, |entry| {
            entry.state = PluginState::Removing;
            entry.slot.set_serving(false);
            // Its queue is delivered even if it was paused.
            entry.serving.iter().for_each(|serving| serving.set_lanes(LaneSet::All));
            entry.slot.retry_now();
            (entry.slot.clone(), entry.serving.is_some())
        });
        let Some((slot, served)) = slot else { return "it was gone before".into() };
        let patience = if served { DRAIN_TIMEOUT } else { Duration::ZERO };
        let drained = slot.drain(Instant::now() + patience).await;
        let serving = self.entry(name, |entry| entry.serving.take()).flatten();
        if let Some(mut generation) = serving {
            let (number, limits) = (generation.number, generation.blueprint.limits.clone());
            generation.drain(limits.deadline.min(DRAIN_TIMEOUT)).await;
            generation.retire(limits.stop).await;
            self.emit_phase(name, number, "retired", "removed".into());
        }
        self.remove_record(name).await;
        self.forget(name);
        self.prune_artifacts().await;
        let ledger = slot.ledger();
        if drained {
            format!("it is gone: {ledger}")
        } else {
            format!("it is gone, and what it could not deliver with it: {ledger}")
        }
    }

    /// Removes slot and entry under one lock, so that the slot is not opened again in between.
    pub(super) fn forget(&self, name: &Arc<str>) {
        let last = self.entries(|entries| {
            let closed = self.dispatch.close(name).is_some();
            entries.remove(name);
            closed && !self.dispatch.has_slots()
        });
        if last {
            tracing::warn!(plugin = &**name, "{NO_LONGER_OFFERED}");
        }
    }
}
