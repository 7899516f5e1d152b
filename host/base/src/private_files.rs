//! Files and directories that only the host's user may read. Files are written atomically.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// How long an unreferenced file is left alone, since it may be about to be used.
pub const GRACE_PERIOD: Duration = Duration::from_secs(3_600);

/// Suffix of the name of a file that is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Creates a directory with mode 0700, or sets the mode of an existing one.
pub fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// Returns a unique temporary name in the same directory, so that renaming is atomic.
pub fn temporary_path(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{}{TEMPORARY_SUFFIX}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// Whether a path is a temporary file of a writer.
pub fn is_temporary(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// Whether a file was last written longer ago than the grace period.
pub fn is_past_grace_period(path: &Path, now: SystemTime) -> bool {
    let written = fs::metadata(path).and_then(|meta| meta.modified());
    written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > GRACE_PERIOD))
}

/// Creates a new file with mode 0600.
pub fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Atomically replaces a file with the concatenation of these parts. A failure leaves nothing behind.
pub fn write_atomically(path: &Path, parts: &[&[u8]], durable: bool) -> io::Result<()> {
    let temporary = temporary_path(path);
    let written = write(&temporary, parts, durable).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
        return written;
    }
    match path.parent() {
        // The new name is durable only once its directory is synced.
        Some(folder) if durable => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn write(path: &Path, parts: &[&[u8]], durable: bool) -> io::Result<()> {
    let mut file = create_private_file(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    if durable { file.sync_all() } else { Ok(()) }
}
