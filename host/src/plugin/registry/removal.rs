//! A plugin that nobody wants any more: what it has is delivered for a while, then all of it goes, its name last.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::change::ChangeCaller;
use super::{PluginState, PluginsInner};
use crate::audit::AuditAction;
use crate::dispatch::LaneSet;
use crate::plugin::change::{ChangeOutcome, PluginChangeResult};
use crate::plugin::offering::NO_LONGER_OFFERED;

/// How long a manifest must have been away.
const MANIFEST_GRACE: Duration = Duration::from_secs(1);
/// How long a plugin may take to deliver what it has.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

impl PluginsInner {
    /// A plugin whose manifest is gone.
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
        // Editors take the old file away before they put the new one in its place.
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

    /// Whether its manifest is, in a directory that is there. A disk that does not answer says nothing.
    async fn manifest_is_gone(&self, name: &str) -> bool {
        let Some(file) = self.entry(name, |entry| entry.file.clone()) else { return false };
        let dir = self.dir.clone();
        let gone = move || {
            let absent = file.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            absent && dir.is_dir()
        };
        self.run_blocking(gone).await.unwrap_or(false)
    }

    /// Takes a plugin away, with the turn held: what is queued is delivered for a while, then shed. What became of it.
    /// It keeps its name until all of it is gone.
    pub(super) async fn remove_plugin(&self, name: &Arc<str>) -> String {
        let slot = self.entry(name, |entry| {
            entry.state = PluginState::Removing;
            entry.slot.set_serving(false);
            // Paused or not, what it has is to be delivered.
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

    /// Slot and all. Under one lock, so that nobody opens it anew between the two.
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
