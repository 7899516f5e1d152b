//! The seam between the admin endpoint and whoever acts on what is asked there.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use crate::audit;
use crate::capability::log::GuestLogLine;
use crate::plugin::change::{Actor, Change, Refused, Step};
use crate::plugin::digest::Digest;

/// The digest of what was kept, or one sentence why it was not.
pub type StoringArtifact<'a> = Pin<Box<dyn Future<Output = Result<Digest, String>> + Send + 'a>>;

/// Acts on what is asked, and tells what can be seen of a plugin.
pub trait AdminOps: Send + Sync + 'static {
    /// Begins a change. The steps come through the channel, the last is [`Step::Ended`]; dropping the receiver does not
    /// end the change.
    fn change(&self, who: Actor, change: Change) -> Result<Receiver<Step>, Refused>;

    /// Keeps an artifact for a later change, and answers when it is on the disk.
    fn store_artifact(&self, artifact: Bytes) -> StoringArtifact<'_>;

    /// Everything about one plugin, as an object; `None` if there is none of that name.
    fn describe(&self, name: &str) -> Option<Value>;

    /// The lines that its receiver wrote and that are still kept, oldest first; `None` if nothing of that name serves.
    fn logs(&self, name: &str) -> Option<Vec<GuestLogLine>>;

    /// The last entries of the audit log, oldest first. Reads the disk: call it where blocking does no harm.
    fn audit(&self, last: usize) -> Result<Vec<audit::Entry>, String>;
}
