//! A host's persistent storage: the store and the audit log, opened before anything else.
//!
//! In: the data directory, or none for an ephemeral host. Out: both, for the modules that write to them; otherwise one
//! sentence that names file, cause and remedy. Never continues without a file that cannot be used: data that the
//! operator expects to persist would be lost when the host stops, without any notice.

use std::path::Path;

use anyhow::{Context as _, Result};

use barnabas_storage::audit::AuditLog;
use barnabas_storage::store::Store;

/// The audit log, in the data directory.
const AUDIT: &str = "audit.log";

/// The opened storage.
pub(super) struct Storage {
    pub(super) store: Store,
    pub(super) audit: AuditLog,
}

impl Storage {
    /// Opens both, and creates what is missing. Blocks.
    pub(super) fn open(data_dir: Option<&Path>) -> Result<Self> {
        let Some(data_dir) = data_dir else {
            tracing::info!(
                "this host is ephemeral: its store, the artifacts of receivers and compiled code are in memory and \
                 lost \
                 when it stops; there is no audit log, and no token for changes over TCP"
            );
            return Ok(Self { store: Store::in_memory(), audit: AuditLog::disabled() });
        };
        let store = Store::open(data_dir)?;
        let path = data_dir.join(AUDIT);
        let audit = AuditLog::open(&path).with_context(|| {
            format!("{}: the audit log cannot be opened; correct its permissions, or move it away", path.display())
        })?;
        Ok(Self { store, audit })
    }
}

#[cfg(test)]
mod tests;
