//! The trait that a receiver implements.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::{Batch, ExportError, StartError};

/// A receiver of client telemetry: a type that exports batches of pushes.
///
/// The host may discard an instance at any time (after a trap, at a deadline, at a swap), and it may run several
/// instances at the same time. So the fields of a receiver are only a cache. The host does the queueing, batching and
/// retries: a receiver needs no queue, timer or thread.
pub trait Receiver: Sized + 'static {
    /// The settings of the operator, or [`NoSettings`]. Add `#[serde(deny_unknown_fields)]` to the type, so that a
    /// misspelt key is an error.
    type Settings: DeserializeOwned;

    /// The host calls it once for each instance, before it offers any batch. The error is a sentence for the operator
    /// that names the invalid setting and says which value would be right ([`StartError::setting`]). `?` converts any
    /// error. The SDK itself reports settings that cannot be deserialized, with the name of the key, and does not call
    /// this method for them.
    fn start(settings: Self::Settings) -> Result<Self, StartError>;

    /// The content types that this receiver supports, as [`Push::content_type`](crate::Push::content_type) names them.
    fn accepted_content_types() -> &'static [&'static str] {
        &["OTLP"]
    }

    /// Exports a batch. `Ok` means that every push was accepted, and the host forgets them. An error tells the host
    /// what to do next (see [`ExportError`]).
    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError>;

    /// The host calls it last, with a deadline. It may do nothing without any loss.
    fn stop(self) {}
}

/// The settings of a receiver that has none: every key is an error.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}
