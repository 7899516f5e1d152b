//! Files and folders that only this host may read, written so that a reader sees all of one or nothing.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// How long what nobody wants is left alone: somebody may be in the middle of using it.
pub(super) const GRACE_PERIOD: Duration = Duration::from_secs(3_600);

/// The end of the name of a file that is being written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Makes a folder that only we may enter, unless it is there.
pub(super) fn create_private_dir(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))
}

/// A name that no other writer has, in the same folder so that renaming is atomic.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{}{TEMPORARY_SUFFIX}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// Whether a file is, or was, being written.
pub(super) fn is_temporary(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(TEMPORARY_SUFFIX.as_bytes())
}

/// Whether a file was last written longer before `now` than the grace.
pub(super) fn is_past_grace_period(path: &Path, now: SystemTime) -> bool {
    let written = fs::metadata(path).and_then(|meta| meta.modified());
    written.is_ok_and(|written| now.duration_since(written).is_ok_and(|age| age > GRACE_PERIOD))
}

/// A new file that only we may read.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Puts a file of these parts, one after the other, in place of what is there. A failure leaves nothing behind.
pub(super) fn write_atomically(path: &Path, parts: &[&[u8]], durable: bool) -> io::Result<()> {
    let temporary = temporary_path(path);
    let written = write(&temporary, parts, durable).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
        return written;
    }
    match path.parent() {
        // The name is on disk only when its folder is.
        Some(folder) if durable => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn write(path: &Path, parts: &[&[u8]], durable: bool) -> io::Result<()> {
    let mut file = create_private_file(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    if durable { file.sync_all() } else { Ok(()) }
}
