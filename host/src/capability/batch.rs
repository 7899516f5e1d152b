//! The lent batch: `batches` and `metrics-view` of the contract.

use std::sync::Arc;

use crate::dispatch::Delivery;
use crate::push::Departed;

/// What stands behind a guest's `batch` handle for the time of one call.
#[derive(Clone, Debug)]
pub struct LentBatch {
    /// The pushes.
    pub deliveries: Arc<[Delivery]>,
    /// Clients that are gone.
    pub gone: Arc<[Departed]>,
}
