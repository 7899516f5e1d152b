//! Artifacts of a host without a data directory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use barnabas_base::digest::Digest;
use barnabas_base::private_files::GRACE_PERIOD;

/// Maximum total size of all artifacts, in bytes.
pub(super) const MAX_TOTAL_BYTES: usize = 512 << 20;

pub(super) struct MemoryArtifacts {
    max_bytes: usize,
    /// Oldest first.
    artifacts: Mutex<VecDeque<StoredArtifact>>,
}

struct StoredArtifact {
    digest: Digest,
    bytes: Arc<[u8]>,
    stored_at: SystemTime,
}

impl Default for MemoryArtifacts {
    fn default() -> Self {
        Self::with_max_bytes(MAX_TOTAL_BYTES)
    }
}

impl MemoryArtifacts {
    pub(super) fn with_max_bytes(most: usize) -> Self {
        Self { max_bytes: most, artifacts: Mutex::default() }
    }

    /// Stores an artifact as the newest, and removes the oldest ones beyond the limit.
    pub(super) fn put(&self, digest: Digest, bytes: &[u8], at: SystemTime) {
        let mut kept = self.artifacts();
        let existing = kept.iter().position(|entry| entry.digest == digest).and_then(|at| kept.remove(at));
        let bytes = existing.map_or_else(|| bytes.into(), |entry| entry.bytes);
        kept.push_back(StoredArtifact { digest, bytes, stored_at: at });
        let mut total: usize = kept.iter().map(|entry| entry.bytes.len()).sum();
        while total > self.max_bytes
            && kept.len() > 1
            && let Some(oldest) = kept.pop_front()
        {
            total -= oldest.bytes.len();
        }
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.artifacts().iter().any(|entry| entry.digest == *digest)
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        let found = self.artifacts().iter().find(|entry| entry.digest == *digest).map(|entry| entry.bytes.clone());
        found.map(|bytes| bytes.to_vec())
    }

    pub(super) fn prune(&self, wanted: &BTreeSet<Digest>, now: SystemTime) {
        let old = |at| now.duration_since(at).is_ok_and(|age| age > GRACE_PERIOD);
        self.artifacts().retain(|entry| wanted.contains(&entry.digest) || !old(entry.stored_at));
    }

    fn artifacts(&self) -> MutexGuard<'_, VecDeque<StoredArtifact>> {
        self.artifacts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
