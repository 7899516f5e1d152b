//! The audit log: who changed what, and the result.
//!
//! In: [`AuditEntry`] values, one for each completed change. Out: one JSON line for each, appended with a single write
//! and synced; readers get the last entries back. Bounded: each line in bytes, and the file by rotation at 16 MiB with
//! one rotated file. Readers skip a line that was cut short (by a full disk or `kill -9`), and the next entry starts on
//! a new line. Never fails a change: a failure to write is reported in the host's log. All calls block on the disk.

mod entry;
mod time;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use entry::{AuditAction, AuditEntry, ChangeOutcome, GenerationRef};
pub use time::rfc3339;

/// Maximum size of the file in bytes before it is rotated.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// A handle to an audit log. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct AuditLog(Option<Arc<AuditFile>>);

#[derive(Debug)]
struct AuditFile {
    path: PathBuf,
    max_bytes: u64,
    /// Held during each access, so that a reader never observes a rotation half done.
    lock: Mutex<()>,
}

impl AuditLog {
    /// Opens the log in this file, creating it with mode 0600 if it does not exist. The rotated file is `<path>.1`.
    /// Fails if the file cannot be read and written.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let inner = AuditFile { path: path.into(), max_bytes: MAX_FILE_BYTES, lock: Mutex::new(()) };
        inner.file()?;
        Ok(Self(Some(Arc::new(inner))))
    }

    /// A log that discards every entry and reads as empty.
    pub fn disabled() -> Self {
        Self(None)
    }

    #[cfg(test)]
    fn with_max_bytes(path: PathBuf, rotate: u64) -> Self {
        Self(Some(Arc::new(AuditFile { path, max_bytes: rotate, lock: Mutex::new(()) })))
    }

    /// Appends an entry and waits for the disk. A failure is logged as an error and not returned.
    pub fn append(&self, entry: AuditEntry) {
        let Some(inner) = &self.0 else { return };
        let _turn = inner.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = inner.append(&entry.to_line()) {
            let path = inner.path.display();
            tracing::error!(
                "{} of plugin `{}` by {} is missing from the audit log: cannot write {path}: {error}; free disk \
                 space or fix its permissions",
                entry.action.as_str(),
                entry.plugin,
                entry.who
            );
        }
    }

    /// Returns the last entries, oldest first. A log file that does not exist has none.
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
        // A line that was cut short stays on its own line, which readers skip.
        let separator = if ends_with_newline(&file)? { "" } else { "\n" };
        let record = format!("{separator}{line}\n");
        let written = file.write(record.as_bytes())?;
        if written < record.len() {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "only a part of the line could be written"));
        }
        file.sync_data()
    }

    /// The file is opened for each write, so that a rotation by another program (logrotate) is followed.
    fn file(&self) -> io::Result<File> {
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.path)
    }
}

/// Whether the file is empty or ends with a newline.
fn ends_with_newline(file: &File) -> io::Result<bool> {
    let Some(last) = file.metadata()?.len().checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

/// Reads the end of a file. That is all of it, unless another program has made it larger than `max` bytes.
fn read_tail(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(max)))?;
    let mut bytes = Vec::new();
    file.take(max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
