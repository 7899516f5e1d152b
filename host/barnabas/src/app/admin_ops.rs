//! The operations of the admin endpoint on a host.

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::HostHandle;
use barnabas_admin::{AdminOps, StoringArtifact};
use barnabas_lifecycle::change::{Actor, ChangeRefused, ChangeStep, PluginChange};
use barnabas_runtime::capability::log::GuestLogLine;
use barnabas_storage::audit;

impl AdminOps for HostHandle {
    fn change(&self, who: Actor, change: PluginChange) -> Result<Receiver<ChangeStep>, ChangeRefused> {
        self.plugins.begin_change(who, change)
    }

    fn store_artifact(&self, artifact: Bytes) -> StoringArtifact<'_> {
        Box::pin(self.plugins.store_artifact(artifact))
    }

    fn describe(&self, name: &str) -> Option<Value> {
        serde_json::to_value(self.plugins.describe(name)?).ok()
    }

    fn logs(&self, name: &str) -> Option<Vec<GuestLogLine>> {
        self.plugins.log(name)
    }

    fn audit(&self, last: usize) -> Result<Vec<audit::AuditEntry>, String> {
        self.plugins.audit().read(last).map_err(|error| format!("failed to read the audit log: {error}"))
    }
}
