//! A file that is reloaded when it changes.
//!
//! In: a path, how to read it, and the time. Out: its content. The file is checked on use, at most once a second. If a
//! new file is invalid, the previous content stays in use, and one warning is logged.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The shortest time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What kind of file it is.
pub(super) struct FileKind<T> {
    /// Its name in messages.
    pub(super) what: &'static str,
    /// The most bytes.
    pub(super) max_bytes: u64,
    /// Whether it must not be accessible to other users of the machine.
    pub(super) private: bool,
    /// What to do if the file does not exist.
    pub(super) remedy: &'static str,
    /// Parses the content; the error names the file.
    pub(super) read: fn(&Path, &str) -> Result<T, String>,
}

/// The file and its last content.
pub(super) struct WatchedFile<T> {
    path: PathBuf,
    kind: FileKind<T>,
    state: Mutex<WatchedState<T>>,
}

struct WatchedState<T> {
    content: Option<Arc<T>>,
    stamp: FileStamp,
    checked_at: Option<SystemTime>,
}

/// What differs when a file has changed; `None` if there is no file.
type FileStamp = Option<(u64, u64, i64, i64, i64, i64)>;

impl<T> WatchedFile<T> {
    /// Opens no file yet.
    pub(super) fn new(path: &Path, kind: FileKind<T>) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            state: Mutex::new(WatchedState { content: None, stamp: None, checked_at: None }),
        }
    }

    /// The current content, or the last valid one. The error is one sentence. Blocks.
    pub(super) fn get(&self, now: SystemTime) -> Result<Arc<T>, String> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // If the clock was set back, the file is checked again.
        let fresh = |at: SystemTime| now.duration_since(at).is_ok_and(|age| age < CHECK_INTERVAL);
        match &state.content {
            Some(said) if state.checked_at.is_some_and(fresh) => Ok(said.clone()),
            _ => {
                state.checked_at = Some(now);
                self.reload_if_changed(&mut state)
            }
        }
    }

    fn reload_if_changed(&self, state: &mut WatchedState<T>) -> Result<Arc<T>, String> {
        let seen = std::fs::metadata(&self.path).ok().map(|meta| stamp(&meta));
        if let Some(said) = state.content.as_ref().filter(|_| seen == state.stamp) {
            return Ok(said.clone());
        }
        state.stamp = seen;
        match (self.read(), &state.content) {
            (Ok(new), old) => {
                if old.is_some() {
                    tracing::info!("reloaded the {} {}", self.kind.what, self.path.display());
                }
                Ok(state.content.insert(Arc::new(new)).clone())
            }
            (Err(why), Some(old)) => {
                tracing::warn!("failed to reload the {}; still using the previous content: {why}", self.kind.what);
                Ok(old.clone())
            }
            (Err(why), None) => Err(why),
        }
    }

    fn read(&self) -> Result<T, String> {
        let (FileKind { what, max_bytes: most, .. }, path) = (&self.kind, self.path.display());
        let unreadable = |error| format!("cannot read the {what} {path}: {error}; {}", self.kind.remedy);
        let file = File::open(&self.path).map_err(unreadable)?;
        let meta = file.metadata().map_err(unreadable)?;
        if self.kind.private && meta.mode() & 0o007 != 0 {
            return Err(format!("the {what} {path} is accessible to every user of this machine: `chmod 600 {path}`"));
        }
        let mut text = String::new();
        file.take(most.saturating_add(1)).read_to_string(&mut text).map_err(unreadable)?;
        if text.len() as u64 > *most {
            return Err(format!("the {what} {path} is larger than the limit of {most} bytes; make it smaller"));
        }
        (self.kind.read)(&self.path, &text)
    }
}

fn stamp(meta: &Metadata) -> (u64, u64, i64, i64, i64, i64) {
    (meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn kind(private: bool) -> FileKind<u32> {
        let read = |path: &Path, text: &str| text.trim().parse().map_err(|e| format!("{}: {e}", path.display()));
        FileKind { what: "number file", max_bytes: 8, private, remedy: "write one", read }
    }

    #[test]
    fn the_file_is_checked_once_a_second_and_a_broken_one_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        let file = WatchedFile::new(&path, kind(false));
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        assert!(file.get(at(0)).unwrap_err().contains("write one"));
        fs::write(&path, "1").unwrap();
        assert_eq!(*file.get(at(0)).unwrap(), 1, "a missing file is checked every time");
        fs::write(&path, "22").unwrap();
        assert_eq!(*file.get(at(999)).unwrap(), 1);
        assert_eq!(*file.get(at(1000)).unwrap(), 22);
        for broken in ["x", "123456789"] {
            fs::write(&path, broken).unwrap();
            assert_eq!(*file.get(at(10_000 + broken.len() as u64 * 2_000)).unwrap(), 22);
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(*file.get(at(40_000)).unwrap(), 22);
        fs::write(&path, "3").unwrap();
        assert_eq!(*file.get(at(30_000)).unwrap(), 3, "even if the clock was set back");
    }

    #[test]
    fn the_size_is_obeyed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        fs::write(&path, "12345678").unwrap();
        assert!(WatchedFile::new(&path, kind(false)).get(SystemTime::UNIX_EPOCH).is_ok());
    }

    #[test]
    fn the_size_is_violated() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        fs::write(&path, "000000001").unwrap();
        assert!(
            WatchedFile::new(&path, kind(false)).get(SystemTime::UNIX_EPOCH).unwrap_err().contains("limit of 8 bytes")
        );
    }

    #[test]
    fn a_private_file_must_not_be_world_accessible() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n");
        fs::write(&path, "1").unwrap();
        for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = WatchedFile::new(&path, kind(true)).get(SystemTime::UNIX_EPOCH);
            assert_eq!(read.is_ok(), good, "{mode:o}");
            assert!(good || read.unwrap_err().contains("chmod 600"));
            assert!(WatchedFile::new(&path, kind(false)).get(SystemTime::UNIX_EPOCH).is_ok());
        }
    }
}
