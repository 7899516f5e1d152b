//! Artifacts by what they contain.
//!
//! In: the bytes of an artifact. Out: its digest, and later the same bytes. A plugin's artifact is copied here before
//! it is used, so that what serves can be started again whatever became of the file it came from. Bounded by
//! [`MAX_BYTES`] for one, and by [`Depot::prune`] for all; in memory by bytes. Never gives
//! bytes that are not of the digest they are asked by. Never looks into an artifact.

mod disk;
mod memory;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use super::artifact::MAX_ARTIFACT_BYTES;
use super::digest::Digest;
use disk::DiskArtifacts;
use memory::MemoryArtifacts;

/// Kept artifacts. All of it blocks.
pub struct ArtifactStore(ArtifactBackend);

enum ArtifactBackend {
    Disk(DiskArtifacts),
    Memory(MemoryArtifacts),
}

impl ArtifactStore {
    /// Opens `artifacts/` in the data directory, one file `<64 digits>.wasm` an artifact; makes what is missing. One
    /// sentence where a newer release wrote it, where it is damaged, and where the disk says no: a restart would not
    /// find what serves.
    pub fn open(data_dir: &Path) -> Result<Self, String> {
        let dir = data_dir.join("artifacts");
        let format = disk::prepare_dir(&dir).map_err(|error| {
            format!(
                "{}: artifacts cannot be kept there: {error}; make it a directory that this user can write to, or name \
                 another `data-dir`",
                dir.display()
            )
        })?;
        DiskArtifacts::open(&dir, &format).map(|disk| Self(ArtifactBackend::Disk(disk)))
    }

    /// For a host without a data directory: the newest artifacts, up to 512 MiB of them.
    pub fn in_memory() -> Self {
        Self(ArtifactBackend::Memory(MemoryArtifacts::default()))
    }

    /// Keeps these bytes, for at least an hour from now. Those that are kept already cost only their digest. One
    /// sentence where there are too many of them or no room; then nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, String> {
        if bytes.len() > MAX_ARTIFACT_BYTES {
            return Err(format!("it has {} bytes; an artifact may have {MAX_ARTIFACT_BYTES}", bytes.len()));
        }
        let digest = Digest::compute(bytes);
        match &self.0 {
            ArtifactBackend::Disk(disk) => disk.put(digest, bytes)?,
            ArtifactBackend::Memory(memory) => memory.put(digest, bytes, SystemTime::now()),
        }
        Ok(digest)
    }

    /// Whether it is kept. What is damaged counts until somebody [gets](Self::get) it.
    pub fn contains(&self, digest: &Digest) -> bool {
        match &self.0 {
            ArtifactBackend::Disk(disk) => disk.contains(digest),
            ArtifactBackend::Memory(memory) => memory.contains(digest),
        }
    }

    /// The bytes of that digest, `None` where they are not kept. A file that has other bytes is removed and not there.
    /// One sentence where the disk does not answer.
    pub fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        match &self.0 {
            ArtifactBackend::Disk(disk) => disk.get(digest),
            ArtifactBackend::Memory(memory) => Ok(memory.get(digest)),
        }
    }

    /// Removes what was kept more than an hour ago and is not wanted, and what writers left behind that long ago.
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
