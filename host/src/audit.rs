//! The audit log: who changed what, and what came of it.
//!
//! In: [`Entry`]s, one when a change is over. Out: one JSON line each, appended with one write and synced; and the last
//! ones again for those who ask. Bounded: a line in bytes, the file by rotation at 16 MiB, of which one old file is
//! kept. A line that was torn (a full disk, `kill -9`) is skipped by readers and ends before the next one begins. Never
//! fails a change: what cannot be written is said in the host's log. Blocks: call it where that does no harm.

mod entry;
mod time;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use entry::{AuditAction, AuditEntry, ChangeOutcome, GenerationRef};
pub use time::rfc3339;

/// Most bytes of a file before the next one begins.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Handle on a log. Clones write to the same one.
#[derive(Clone, Debug)]
pub struct AuditLog(Option<Arc<AuditFile>>);

#[derive(Debug)]
struct AuditFile {
    path: PathBuf,
    max_bytes: u64,
    /// Held over each access, so that a reader never meets a rotation.
    lock: Mutex<()>,
}

impl AuditLog {
    /// Of this file, which is made with mode 0600 where there is none. Its old one is `<path>.1`. Fails where it cannot
    /// be read and written.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let inner = AuditFile { path: path.into(), max_bytes: MAX_FILE_BYTES, lock: Mutex::new(()) };
        inner.file()?;
        Ok(Self(Some(Arc::new(inner))))
    }

    /// Keeps nothing.
    pub fn disabled() -> Self {
        Self(None)
    }

    #[cfg(test)]
    fn with_max_bytes(path: PathBuf, rotate: u64) -> Self {
        Self(Some(Arc::new(AuditFile { path, max_bytes: rotate, lock: Mutex::new(()) })))
    }

    /// Writes an entry and waits for the disk. A failure is logged as an error and goes no further.
    pub fn append(&self, entry: AuditEntry) {
        let Some(inner) = &self.0 else { return };
        let _turn = inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.append(&entry.to_line()) {
            let path = inner.path.display();
            tracing::error!(
                "{} of plugin `{}` by {} is not in the audit log: {path}: {error}; make room or correct its permissions",
                entry.action.as_str(),
                entry.plugin,
                entry.who
            );
        }
    }

    /// The last entries, oldest first. A log that does not exist has none.
    pub fn read(&self, last: usize) -> io::Result<Vec<AuditEntry>> {
        let Some(inner) = &self.0 else { return Ok(Vec::new()) };
        let _turn = inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::new();
        for path in [&inner.path, &inner.rotated_path()] {
            let bytes = read_tail(path, inner.max_bytes)?;
            let lines = bytes.rsplit(|byte| *byte == b'\n').filter_map(AuditEntry::parse);
            entries.extend(lines.take(last.saturating_sub(entries.len())));
        }
        entries.reverse();
        Ok(entries)
    }
}

impl AuditFile {
    fn rotated_path(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".1");
        name.into()
    }

    fn append(&self, line: &str) -> io::Result<()> {
        let mut file = self.file()?;
        let size = file.metadata()?.len();
        if size > 0 && size + line.len() as u64 > self.max_bytes {
            fs::rename(&self.path, self.rotated_path())?;
            file = self.file()?;
        }
        // What was torn stays a line of its own, which readers skip.
        let separator = if ends_with_newline(&file)? { "" } else { "\n" };
        let record = format!("{separator}{line}\n");
        let written = file.write(record.as_bytes())?;
        if written < record.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "only a part of the line could be written"));
        }
        file.sync_data()
    }

    /// Opened each time, so that somebody else's rotation is followed.
    fn file(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)
    }
}

/// Whether the last byte ends a line, or there is none.
fn ends_with_newline(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

/// The end of a file: all of it, unless somebody else made it larger than ours become.
fn read_tail(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
