//! Artifacts of a host that has no disk.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::plugin::digest::Digest;
use crate::plugin::files::GRACE;

/// Most bytes of all artifacts together.
pub(super) const BYTES: usize = 512 << 20;

pub(super) struct Memory {
    most: usize,
    /// Those kept longest ago first.
    kept: Mutex<VecDeque<Kept>>,
}

struct Kept {
    digest: Digest,
    bytes: Arc<[u8]>,
    at: SystemTime,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(BYTES)
    }
}

impl Memory {
    pub(super) fn of(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// Keeps it as the newest; the oldest give way.
    pub(super) fn keep(&self, digest: Digest, bytes: &[u8], at: SystemTime) {
        let mut kept = self.kept();
        let before = kept.iter().position(|entry| entry.digest == digest).and_then(|at| kept.remove(at));
        let bytes = before.map_or_else(|| bytes.into(), |entry| entry.bytes);
        kept.push_back(Kept { digest, bytes, at });
        let mut held: usize = kept.iter().map(|entry| entry.bytes.len()).sum();
        while held > self.most
            && kept.len() > 1
            && let Some(oldest) = kept.pop_front()
        {
            held -= oldest.bytes.len();
        }
    }

    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.kept().iter().any(|entry| entry.digest == *digest)
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<Vec<u8>> {
        let found = self.kept().iter().find(|entry| entry.digest == *digest).map(|entry| entry.bytes.clone());
        found.map(|bytes| bytes.to_vec())
    }

    pub(super) fn prune(&self, wanted: &BTreeSet<Digest>, now: SystemTime) {
        let old = |at| now.duration_since(at).is_ok_and(|age| age > GRACE);
        self.kept().retain(|entry| wanted.contains(&entry.digest) || !old(entry.at));
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
