//! Compiled code, kept across restarts.
//!
//! In: an artifact's [`Inspection`] and [`Code`]. Out: both, by the artifact's digest, so that a load that finds them
//! decodes nothing that a stranger wrote. Loading machine code means to trust it, so an entry is read to memory, its
//! MAC verified under a key that only this host has, and only then used; never from the file. It is a cache: an entry
//! that is damaged, foreign, or of another format, older or newer, is removed and made anew, and a disk that is full or
//! read-only costs time and nothing else. Bounded in entries and bytes; those not used for longest go first.

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
use super::digest::{Digest, hex};
use super::private_files;

/// First bytes of an entry: what it is and which form it has. Then the MAC, the length of the inspection as JSON (four
/// bytes, little-endian), the JSON, and the code to the end.
const MAGIC: &[u8; 12] = b"barnabas\0\0\0\x02";
/// So much at once is a mapping of its own for every allocator that we know, and goes back to the system when it is
/// dropped; pages that nothing is read into cost nothing. Blocks of a megabyte stay in the heaps of glibc's threads: over
/// a thousand swaps that was a tenth of a host's memory.
const MIN_READ_BUFFER: usize = 33 << 20;
const MAC_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;
/// What the cache may take.
const DEFAULT_BOUNDS: CacheBounds = CacheBounds { entries: 64, bytes: 1 << 30 };

/// A directory of entries. All of it blocks.
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
    /// Opens `code/` in the data directory, with the key beside it; makes what is missing and removes what is not an
    /// entry of this format. `fingerprint` is [`super::engine::Engines::fingerprint`].
    pub fn open(data_dir: &Path, fingerprint: [u8; 32]) -> io::Result<Self> {
        let dir = data_dir.join("code");
        private_files::create_private_dir(&dir)?;
        remove_foreign_files(&dir, SystemTime::now())?;
        Ok(Self { dir, key: host_key(&data_dir.join("host.key"))?, fingerprint, bounds: DEFAULT_BOUNDS })
    }

    /// What was kept of this artifact.
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
            tracing::warn!("{} was damaged or is not of this host; it is removed and compiled again", path.display());
            let _ = fs::remove_file(&path);
        }
        found
    }

    /// Keeps the code of an artifact, where the disk allows.
    pub fn put(&self, inspection: &Inspection, code: &CompiledCode) {
        let path = self.path(&inspection.digest);
        if let Err(error) = self.write(&path, inspection, code).and_then(|()| self.prune()) {
            tracing::warn!("compiled code is not kept, so the next start compiles again: {}: {error}", path.display());
        }
    }

    /// Counts as used: it is among the last to go.
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
        // The name says what the code is of; signed with it, an entry cannot stand in for another.
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        for part in [MAGIC.as_slice(), &self.fingerprint, &(name.len() as u64).to_le_bytes(), name] {
            mac.update(part);
        }
        body.iter().for_each(|part| mac.update(part));
        mac
    }

    /// All of a file that may be an entry. Its time of writing becomes now, which makes it the last used.
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        // In one piece, of which the code is a part: it is large, and is read at each swap.
        let size = file.metadata()?.len().min(self.bounds.bytes);
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0).saturating_add(1).max(MIN_READ_BUFFER));
        // A disk that cannot be written still serves; then the order of going is that of writing.
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
        // The MAC says that this host wrote it, and this host keeps only what it compiled.
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

    /// Keeps the last used, as many as the bounds allow.
    fn prune(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            // Another host of the same directory may have removed it.
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

/// Removes what is not an entry of this format, and what writers left behind.
fn remove_foreign_files(dir: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let stays = if private_files::is_temporary(&path) {
            !private_files::is_past_grace_period(&path, now)
        } else {
            has_magic(&path)
        };
        if !stays && let Err(error) = fs::remove_file(&path) {
            tracing::debug!("{} is no entry of the code cache, and stays: {error}", path.display());
        }
    }
    Ok(())
}

fn has_magic(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *MAGIC
}

/// The host's key: read, or made at first.
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
        // A link fails where a rename would replace: of two hosts that start at once, one key wins for both.
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
        return Err(io::Error::other(format!("{} can be read by others; chmod 600 it", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(33).read_to_end(&mut bytes)?;
    let damaged = || io::Error::other(format!("{} is damaged (32 bytes wanted); remove it", path.display()));
    bytes.try_into().map_err(|_| damaged())
}

#[cfg(test)]
mod tests;
