//! The interface between the admin endpoint and the code that performs its requests.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use barnabas_base::digest::Digest;
use barnabas_lifecycle::change::{Actor, ChangeRefused, ChangeStep, PluginChange};
use barnabas_runtime::capability::log::GuestLogLine;
use barnabas_storage::audit;

/// The digest of the stored artifact, or a one-line error.
pub type StoringArtifact<'a> = Pin<Box<dyn Future<Output = Result<Digest, String>> + Send + 'a>>;

/// Performs requested changes, and provides details about plugins.
pub trait AdminOps: Send + Sync + 'static {
    /// Starts a change. Its steps arrive on the channel, the last one is [`ChangeStep::Ended`]; dropping the receiver does
    /// not cancel the change.
    fn change(&self, who: Actor, change: PluginChange) -> Result<Receiver<ChangeStep>, ChangeRefused>;

    /// Stores an artifact for a later change; completes once it is on disk.
    fn store_artifact(&self, artifact: Bytes) -> StoringArtifact<'_>;

    /// Details about a plugin as an object; `None` if there is no plugin of that name.
    fn describe(&self, name: &str) -> Option<Value>;

    /// The stored log lines of its receiver, oldest first; `None` if no plugin of that name serves.
    fn logs(&self, name: &str) -> Option<Vec<GuestLogLine>>;

    /// The last `last` entries of the audit log, oldest first. Blocks on disk reads, so do not call it on an async
    /// thread.
    fn audit(&self, last: usize) -> Result<Vec<audit::AuditEntry>, String>;
}
