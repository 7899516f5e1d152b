//! A cache of compiled code on the disk, which survives restarts.
//!
//! In: an artifact's [`Inspection`] and [`CompiledCode`]. Out: both, by the artifact's digest, so that a load that hits
//! the cache decodes no untrusted bytes. Loading machine code means trusting it, so an entry is read into memory, its
//! MAC is verified with a key that only this host has, and only then it is used; never from the mapped file. An entry
//! that is damaged, foreign, or of another format version is removed and compiled again, and a disk that is full or
//! read-only costs only time. Bounded in entries and bytes; the least recently used entries are evicted first.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::artifact::Inspection;
use super::compiled_code::CompiledCode;
use barnabas_base::digest::{Digest, hex};
use barnabas_base::private_files;

/// First bytes of an entry: its type and format version. Then come the MAC, the length of the inspection as JSON (four
/// bytes, little-endian), the JSON, and the code up to the end.
const MAGIC: &[u8; 12] = b"barnabas\0\0\0\x02";
/// An allocation of this size is a separate mapping in every common allocator and is returned to the system when it is
/// dropped; pages that are not written cost nothing. Blocks of a megabyte stay in glibc's per-thread heaps: over a
/// thousand swaps that amounted to a tenth of a host's memory.
const MIN_READ_BUFFER: usize = 33 << 20;
const MAC_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;
/// How much the cache may store.
const DEFAULT_BOUNDS: CacheBounds = CacheBounds { entries: 64, bytes: 1 << 30 };

/// A directory of entries. All calls block.
#[derive(Debug)]
pub struct CodeCache {
    dir: PathBuf,
    key: [u8; 32],
    fingerprint: [u8; 32],
    bounds: CacheBounds,
}

#[derive(Clone, Copy, Debug)]
struct CacheBounds {
    entries: usize,
    bytes: u64,
}

impl CodeCache {
    /// Opens `code/` in the data directory and the key beside it; creates what is missing and removes files that are
    /// not entries of this format. `fingerprint` is [`super::engine::Engines::fingerprint`].
    pub fn open(data_dir: &Path, fingerprint: [u8; 32]) -> io::Result<Self> {
        let dir = data_dir.join("code");
        private_files::create_private_dir(&dir)?;
        remove_foreign_files(&dir, SystemTime::now())?;
        Ok(Self { dir, key: host_key(&data_dir.join("host.key"))?, fingerprint, bounds: DEFAULT_BOUNDS })
    }

    /// Returns the entry of this artifact.
    pub fn get(&self, artifact: &Digest) -> Option<(Inspection, CompiledCode)> {
        let path = self.path(artifact);
        let bytes = match self.read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("cannot read compiled code, so it is compiled again: {}: {error}", path.display());
                return None;
            }
        };
        let found = self.verify(&path, &bytes).filter(|(inspection, _)| inspection.digest == *artifact);
        if found.is_none() {
            tracing::warn!(
                "{} was damaged or written by another host; it is removed and compiled again",
                path.display()
            );
            let _ = fs::remove_file(&path);
        }
        found
    }

    /// Stores the code of an artifact; a failure is logged.
    pub fn put(&self, inspection: &Inspection, code: &CompiledCode) {
        let path = self.path(&inspection.digest);
        if let Err(error) = self.write(&path, inspection, code).and_then(|()| self.prune()) {
            tracing::warn!("cannot cache compiled code, so the next start compiles again: {}: {error}", path.display());
        }
    }

    /// Marks an entry as just used, so that it is among the last to be evicted.
    pub fn mark_used(&self, artifact: &Digest) {
        if let Ok(file) = File::open(self.path(artifact)) {
            let _ = file.set_modified(SystemTime::now());
        }
    }

    fn path(&self, artifact: &Digest) -> PathBuf {
        let engine = hex(self.fingerprint.split_at(8).0);
        self.dir.join(format!("{}-{engine}.code", artifact.hex()))
    }

    fn compute_mac(&self, path: &Path, body: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        // The file name contains the artifact's digest. With the name in the MAC, an entry cannot replace another.
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        for part in [MAGIC.as_slice(), &self.fingerprint, &(name.len() as u64).to_le_bytes(), name] {
            mac.update(part);
        }
        body.iter().for_each(|part| mac.update(part));
        mac
    }

    /// Reads a file that may be an entry, and sets its modification time to now, which makes it the most recently used.
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        // One allocation, of which the code becomes a slice: entries are large, and one is read at each swap.
        let size = file.metadata()?.len().min(self.bounds.bytes);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1).max(MIN_READ_BUFFER));
        // On a read-only disk entries are still used; then they are evicted in the order of writing.
        let _ = file.set_modified(SystemTime::now());
        file.take(self.bounds.bytes).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }

    fn verify(&self, path: &Path, bytes: &Bytes) -> Option<(Inspection, CompiledCode)> {
        let (mac, body) = bytes.strip_prefix(MAGIC.as_slice())?.split_first_chunk::<MAC_BYTES>()?;
        self.compute_mac(path, &[body]).verify_slice(mac).ok()?;
        let (length, rest) = body.split_first_chunk::<LENGTH_BYTES>()?;
        let (json, code) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        let inspection = serde_json::from_slice(json).ok()?;
        // The MAC proves that this host wrote the entry, and this host stores only code that it compiled.
        Some((inspection, CompiledCode::trusted(bytes.slice_ref(code))))
    }

    fn write(&self, path: &Path, inspection: &Inspection, code: &CompiledCode) -> io::Result<()> {
        let json = serde_json::to_vec(inspection)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?.to_le_bytes();
        let body = [length.as_slice(), &json, code.bytes()];
        let mac = self.compute_mac(path, &body).finalize().into_bytes();
        let [length, json, code] = body;
        private_files::write_atomically(path, &[MAGIC, mac.as_slice(), length, json, code], false)
    }

    /// Evicts the least recently used entries beyond the bounds.
    fn prune(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // Another host with the same directory may have removed it.
            let Ok(meta) = entry.metadata() else { continue };
            entries.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), entry.path()));
        }
        entries.sort_by(|a, b| b.cmp(a));
        let (mut number, mut bytes) = (0, 0);
        for (_, length, path) in entries {
            (number, bytes) = (number + 1, bytes + length);
            if number > self.bounds.entries || bytes > self.bounds.bytes {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Removes files that are not entries of this format, and leftover temporary files.
fn remove_foreign_files(dir: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stays = if private_files::is_temporary(&path) {
            !private_files::is_past_grace_period(&path, now)
        } else {
            has_magic(&path)
        };
        if !stays && let Err(error) = fs::remove_file(&path) {
            tracing::debug!("{} is not an entry of the code cache, and cannot be removed: {error}", path.display());
        }
    }
    Ok(())
}

fn has_magic(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *MAGIC
}

/// Reads the host's key, or creates it.
fn host_key(path: &Path) -> io::Result<[u8; 32]> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let temporary = private_files::temporary_path(path);
    let linked = private_files::create_private_file(&temporary).and_then(|mut file| {
        file.write_all(&key)?;
        file.sync_all()?;
        // A link fails where a rename would replace: if two hosts start at the same time, both use the same key.
        fs::hard_link(&temporary, path)
    });
    let _ = fs::remove_file(&temporary);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read_key(path),
    }
}

fn read_key(path: &Path) -> io::Result<[u8; 32]> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(io::Error::other(format!("{} is readable by other users; run `chmod 600` on it", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(33).read_to_end(&mut bytes)?;
    let damaged = || io::Error::other(format!("{} is damaged (it must have 32 bytes); remove it", path.display()));
    bytes.try_into().map_err(|_| damaged())
}

#[cfg(test)]
mod tests;
