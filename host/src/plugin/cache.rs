//! Compiled code, kept across restarts.
//!
//! In: a component. Out: [`Code`], either compiled now or found as compiled before. Loading machine code means to
//! trust it, so an entry is read to memory, its MAC verified under a key that only this host has, and only then used;
//! never from the file. A damaged or foreign entry is removed and compiled anew; a disk that is full or read-only
//! costs time and nothing else. Bounded in entries.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::digest::{Digest, hex};

/// First bytes of an entry: what it is and which form it has.
const MAGIC: &[u8; 12] = b"barnabas\0\0\0\x01";
const MAC_BYTES: usize = 32;
/// Most entries; the oldest go first.
const ENTRIES: usize = 64;

/// Machine code that this process made, or that this host made and signed.
pub struct Code(Vec<u8>);

impl Code {
    /// Compiles a component. Nothing bounds or cancels it, so untrusted ones belong in a process of their own; this is
    /// the one place that would call it.
    pub fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        engine.precompile_component(component).map(Self)
    }

    /// For running in `engine`, which must be of the tunables it was compiled for.
    #[allow(
        unsafe_code,
        reason = "machine code is loaded only from a `Code`, whose two makers compile or authenticate"
    )]
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: `deserialize` wants bytes that `precompile_component` made, unmodified. A `Code` is made by
        // `Code::compile`, or by `Cache::read` after the MAC under this host's key was found right.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

/// A directory of entries.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    key: [u8; 32],
    fingerprint: [u8; 32],
}

impl Cache {
    /// Opens `code/` in the data directory, with the key beside it; makes what is missing. `fingerprint` is
    /// [`super::engine::Engines::fingerprint`].
    pub fn open(data_dir: &Path, fingerprint: [u8; 32]) -> io::Result<Self> {
        let dir = data_dir.join("code");
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
        Ok(Self { dir, key: host_key(&data_dir.join("host.key"))?, fingerprint })
    }

    /// The code of `component`: as found, else as `compile` makes it, which is then kept.
    pub fn get_or(&self, component: &[u8], compile: impl FnOnce() -> Result<Code, String>) -> Result<Code, String> {
        let path = self.path(Digest::of(component));
        if let Some(code) = self.read(&path) {
            return Ok(code);
        }
        let code = compile()?;
        if let Err(error) = self.write(&path, &code) {
            tracing::warn!("compiled code is not kept, so the next start compiles again: {}: {error}", path.display());
        }
        Ok(code)
    }

    fn path(&self, component: Digest) -> PathBuf {
        let engine = hex(self.fingerprint.split_at(8).0);
        self.dir.join(format!("{}-{engine}.code", component.hex()))
    }

    fn mac(&self, path: &Path, code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        // The name says what the code is of; signed with it, an entry cannot stand in for another.
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        for part in [MAGIC.as_slice(), &self.fingerprint, &(name.len() as u64).to_le_bytes(), name, code] {
            mac.update(part);
        }
        mac
    }

    fn read(&self, path: &Path) -> Option<Code> {
        let mut bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("cannot read compiled code, so it is compiled again: {}: {error}", path.display());
                return None;
            }
        };
        if !self.genuine(path, &bytes) {
            tracing::warn!("{} was damaged or is not of this host; it is removed and compiled again", path.display());
            let _ = fs::remove_file(path);
            return None;
        }
        Some(Code(bytes.split_off(MAGIC.len() + MAC_BYTES)))
    }

    fn genuine(&self, path: &Path, bytes: &[u8]) -> bool {
        let checked = || {
            let (mac, code) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<MAC_BYTES>()?;
            self.mac(path, code).verify_slice(mac).ok()
        };
        checked().is_some()
    }

    fn write(&self, path: &Path, code: &Code) -> io::Result<()> {
        let mac = self.mac(path, &code.0).finalize().into_bytes();
        let temporary = temporary(path);
        let written = private(&temporary).and_then(|mut file| {
            for part in [MAGIC.as_slice(), mac.as_slice(), &code.0] {
                file.write_all(part)?;
            }
            fs::rename(&temporary, path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        self.prune()
    }

    fn prune(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let written = entry.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            entries.push((written, entry.path()));
        }
        entries.sort();
        let spare = entries.len().saturating_sub(ENTRIES);
        entries.iter().take(spare).try_for_each(|(_, path)| fs::remove_file(path))
    }
}

/// A name that no other writer has, in the same directory so that renaming is atomic.
fn temporary(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{}.tmp", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// A new file that only we may read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The host's key: read, or made at first.
fn host_key(path: &Path) -> io::Result<[u8; 32]> {
    match read_key(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        done => return done,
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let temporary = temporary(path);
    let linked = private(&temporary).and_then(|mut file| {
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
