//! A directory of artifacts, with one file each.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::artifact::MAX_ARTIFACT_BYTES;
use barnabas_base::digest::Digest;
use barnabas_base::private_files;

/// Format version of the directory: file names and contents.
const FORMAT: u32 = 1;
/// Maximum size in bytes of the file that holds the format version.
const MAX_FORMAT_BYTES: u64 = 64;
const SUFFIX: &str = ".wasm";

/// Returns the format version of the directory, creating the directory if it does not exist.
pub(super) fn prepare_dir(dir: &Path) -> io::Result<String> {
    private_files::create_private_dir(dir).and_then(|()| read_or_write_format(dir))
}

pub(super) struct DiskArtifacts {
    dir: PathBuf,
    /// Prevents pruning an artifact that is being stored again, between reading its age and removing it.
    lock: Mutex<()>,
}

impl DiskArtifacts {
    /// `format` is the result of [`prepare_dir()`].
    pub(super) fn open(dir: &Path, format: &str) -> Result<Self, String> {
        match format.trim().parse::<u32>() {
            Ok(FORMAT) => Ok(Self { dir: dir.to_owned(), lock: Mutex::default() }),
            Ok(newer) if newer > FORMAT => Err(format!(
                "the artifacts in {} have format {newer}, which a newer release wrote; this release reads format \
                 {FORMAT}: start the newer release, or set another `data-dir`",
                dir.display()
            )),
            _ => Err(format!("{} is damaged: write `{FORMAT}` into it", dir.join("format").display())),
        }
    }

    pub(super) fn put(&self, digest: Digest, bytes: &[u8]) -> Result<(), String> {
        let path = self.path(&digest);
        if self.refresh_age(&path, bytes.len() as u64) {
            return Ok(());
        }
        private_files::write_atomically(&path, &[bytes], true).map_err(|error| {
            format!(
                "an artifact of {} bytes cannot be stored in {}: {error}; free disk space, or set another `data-dir`",
                bytes.len(),
                self.dir.display()
            )
        })
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).is_file()
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        let path = self.path(digest);
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("the stored artifact {} cannot be read: {error}", path.display())),
        };
        if Digest::compute(&bytes) == *digest {
            return Ok(Some(bytes));
        }
        tracing::warn!(
            "{} is damaged: its contents do not match the digest in its name; it is removed",
            path.display()
        );
        remove(&path);
        Ok(None)
    }

    pub(super) fn prune(&self, wanted: &BTreeSet<Digest>, now: SystemTime) {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) => return tracing::warn!("cannot remove unused artifacts: {}: {error}", self.dir.display()),
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let unwanted = digest_from_file_name(&path).is_some_and(|digest| !wanted.contains(&digest));
            if !unwanted && !private_files::is_temporary(&path) {
                continue;
            }
            let _turn = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            if private_files::is_past_grace_period(&path, now) {
                remove(&path);
            }
        }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{}{SUFFIX}", digest.hex()))
    }

    /// Whether a file of this size exists; if so, restarts its grace period.
    fn refresh_age(&self, path: &Path, size: u64) -> bool {
        let _turn = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let touch = || {
            let file = File::open(path)?;
            file.set_modified(SystemTime::now())?;
            io::Result::Ok(file.metadata()?.len())
        };
        touch().is_ok_and(|found| found == size)
    }
}

/// Reads the format version of the directory, or writes it into a new one.
fn read_or_write_format(dir: &Path) -> io::Result<String> {
    let path = dir.join("format");
    let mut text = String::new();
    match File::open(&path) {
        Ok(file) => _ = file.take(MAX_FORMAT_BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            text = format!("{FORMAT}\n");
            private_files::write_atomically(&path, &[text.as_bytes()], true)?;
        }
        Err(error) => return Err(error),
    }
    Ok(text)
}

/// Reads at most the size of an artifact; the digest detects a file that is larger.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_ARTIFACT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn digest_from_file_name(path: &Path) -> Option<Digest> {
    let digits = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    format!("sha256:{digits}").parse().ok()
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!("{} cannot be removed: {error}", path.display());
    }
}
