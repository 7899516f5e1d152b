//! Artifacts by digest.
//!
//! In: the bytes of an artifact. Out: its digest, and later the same bytes. A plugin's artifact is copied to this store
//! before it is used, so that the serving generation can be started again even if its original file changed. Bounded by
//! [`MAX_ARTIFACT_BYTES`] for one artifact and by [`ArtifactStore::prune`] for all; in memory by bytes. Never returns
//! bytes that do not match the requested digest. Never parses an artifact.

mod disk;
mod memory;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use super::artifact::MAX_ARTIFACT_BYTES;
use barnabas_base::digest::Digest;
use disk::DiskArtifacts;
use memory::MemoryArtifacts;

/// A content-addressed store of artifacts. All calls block.
pub struct ArtifactStore(ArtifactBackend);

enum ArtifactBackend {
    Disk(DiskArtifacts),
    Memory(MemoryArtifacts),
}

impl ArtifactStore {
    /// Opens `artifacts/` in the data directory, which has one file `<64 digits>.wasm` per artifact, and creates what
    /// is missing. Fails, with one sentence, if a newer release wrote it, if it is damaged, and on I/O errors: a
    /// restart would not find the serving generation.
    pub fn open(data_dir: &Path) -> Result<Self, String> {
        let dir = data_dir.join("artifacts");
        let format = disk::prepare_dir(&dir).map_err(|error| {
            format!(
                "{}: cannot store artifacts: {error}; make it a directory that this user can write to, or set another \
                 `data-dir`",
                dir.display()
            )
        })?;
        DiskArtifacts::open(&dir, &format).map(|disk| Self(ArtifactBackend::Disk(disk)))
    }

    /// A store for a host without a data directory, which holds the newest artifacts up to 512 MiB.
    pub fn in_memory() -> Self {
        Self(ArtifactBackend::Memory(MemoryArtifacts::default()))
    }

    /// Stores these bytes for at least an hour from now. Bytes that are stored already are only hashed. Fails, with one
    /// sentence, if there are too many bytes or the disk is full; then nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, String> {
        if bytes.len() > MAX_ARTIFACT_BYTES {
            return Err(format!("it has {} bytes; the limit for an artifact is {MAX_ARTIFACT_BYTES}", bytes.len()));
        }
        let digest = Digest::compute(bytes);
        match &self.0 {
            ArtifactBackend::Disk(disk) => disk.put(digest, bytes)?,
            ArtifactBackend::Memory(memory) => memory.put(digest, bytes, SystemTime::now()),
        }
        Ok(digest)
    }

    /// Whether the artifact is stored. Damage is noticed only when it is [read](Self::get).
    pub fn contains(&self, digest: &Digest) -> bool {
        match &self.0 {
            ArtifactBackend::Disk(disk) => disk.contains(digest),
            ArtifactBackend::Memory(memory) => memory.contains(digest),
        }
    }

    /// Returns the bytes of this digest, `None` if they are not stored. A damaged file is removed and counts as
    /// missing. The error is one sentence about an I/O error.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        match &self.0 {
            ArtifactBackend::Disk(disk) => disk.get(digest),
            ArtifactBackend::Memory(memory) => Ok(memory.get(digest)),
        }
    }

    /// Removes artifacts that are not in `wanted` and temporary files, if they were written more than an hour ago.
    pub fn prune(&self, wanted: &BTreeSet<Digest>) {
        self.prune_at(wanted, SystemTime::now());
    }

    fn prune_at(&self, wanted: &BTreeSet<Digest>, now: SystemTime) {
        match &self.0 {
            ArtifactBackend::Disk(disk) => disk.prune(wanted, now),
            ArtifactBackend::Memory(memory) => memory.prune(wanted, now),
        }
    }
}

#[cfg(test)]
mod tests;
