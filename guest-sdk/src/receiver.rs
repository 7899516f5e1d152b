//! What an author implements.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Batch, ExportError, StartError};

/// A receiver of client telemetry: a struct that is lent batches of pushes.
///
/// Any instance may be discarded at any moment (after a trap, at a deadline, at a swap), and several of one receiver
/// may run at once: what the struct holds is a cache, never the truth. The host owns queueing, batching and retry; a
/// receiver needs no queue, timer or thread.
pub trait Receiver: Sized + 'static {
    /// What the operator may set, or [`NoSettings`]. Put `#[serde(deny_unknown_fields)]` on it, so that a misspelt key
    /// is an error and not a surprise.
    type Settings: DeserializeOwned;

    /// Called once on each instance, before any traffic. The error is a sentence for the operator: which setting is
    /// wrong, and what would be right ([`StartError::setting`]). Any error becomes one by `?`. Settings that do not parse never get here: the SDK answers for them and names the key.
    fn start(settings: Self::Settings) -> Result<Self, StartError>;

    /// The content types this receiver understands, as [`Push::content_type`](crate::Push::content_type) names them.
    fn accepted_content_types() -> &'static [&'static str] {
        &["OTLP"]
    }

    /// Takes a batch. `Ok` means that every push in it was taken, and the host forgets them; any other outcome says
    /// what the host shall do (see [`ExportError`]).
    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError>;

    /// Called last, under a deadline. Nothing is lost when it does nothing.
    fn stop(self) {}
}

/// The settings of a receiver that has none: any key is refused.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}
