//! A Unix socket that only the user that runs the host can open.
//!
//! In: a path. Out: a listening socket at that path until it is dropped. The socket is created in a private directory,
//! gets its mode there, and is then renamed: it never exists at its path with another mode, whatever the umask is. A
//! lock file next to it, whose lock the system releases when the process dies, distinguishes the socket of a running
//! host from a stale one. Never replaces a file that is not a socket.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as Plain, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::net::UnixListener;

/// The longest path that every supported system can bind, minus the extra length of the temporary name.
const MAX_PATH: usize = 96;

/// A socket at its path. Removed on drop.
#[derive(Debug)]
pub(super) struct AdminSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
    /// Held as long as the socket exists.
    _lock: File,
}

impl AdminSocket {
    /// Binds and listens.
    pub(super) fn bind(path: &Path) -> Result<Self> {
        let place = path.display();
        ensure!(
            path.as_os_str().len() <= MAX_PATH,
            "the admin socket {place} has a path of more than {MAX_PATH} bytes, the maximum for a socket; \
             write a shorter one in `admin.socket`"
        );
        let cannot = || {
            format!("cannot create the admin socket {place}; correct `admin.socket`, or set it to \"\" to disable it")
        };
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir).with_context(cannot)?;
        let lock = lock(path)?;
        ensure_available(path)?;
        let listener = bind_in_private_dir(dir, path).with_context(cannot)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The lock file stays on disk: removing it could let two hosts lock two files with the same name.
fn lock(path: &Path) -> Result<File> {
    let mut name = path.to_owned().into_os_string();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&name);
    let file = file.with_context(|| format!("cannot open {}, which guards the admin socket", name.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(already_in_use(path)),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", name.display())),
    }
}

fn already_in_use(path: &Path) -> String {
    format!(
        "another host uses the admin socket {}; stop it, or configure a different `data-dir` or `admin.socket` for this host",
        path.display()
    )
}

/// Checks that the path is free, or is a stale socket on which no process listens.
fn ensure_available(path: &Path) -> Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.with_context(|| format!("cannot read the metadata of {}", path.display()))?.file_type(),
    };
    ensure!(kind.is_socket(), "{} exists and is not a socket; move it away, or change `admin.socket`", path.display());
    match UnixStream::connect(path) {
        Ok(_) => bail!(already_in_use(path)),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(()),
        Err(error) => {
            Err(error).with_context(|| format!("cannot determine whether a host listens on {}", path.display()))
        }
    }
}

fn bind_in_private_dir(dir: &Path, path: &Path) -> io::Result<UnixListener> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let closed = dir.join(format!(".{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    // Left by a dead process that had the same process id.
    let _ = fs::remove_dir_all(&closed);
    DirBuilder::new().mode(0o700).create(&closed)?;
    let listener = bind_and_rename(&closed.join("s"), path);
    let _ = fs::remove_dir_all(&closed);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

fn bind_and_rename(made: &Path, path: &Path) -> io::Result<Plain> {
    let listener = Plain::bind(made)?;
    fs::set_permissions(made, Permissions::from_mode(0o600))?;
    fs::rename(made, path)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket_path() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data/admin.sock");
        (dir, path)
    }

    fn names(path: &Path) -> Vec<String> {
        let entries = fs::read_dir(path.parent().unwrap()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn it_is_private_to_its_owner_and_removed_with_its_host() {
        let (_dir, path) = socket_path();
        let socket = AdminSocket::bind(&path).unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
        assert_eq!(names(&path), ["admin.sock", "admin.sock.lock"]);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(names(&path), ["admin.sock.lock"]);
        AdminSocket::bind(&path).unwrap();
    }

    #[tokio::test]
    async fn a_stale_socket_is_replaced() {
        let (_dir, path) = socket_path();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(Plain::bind(&path).unwrap());
        assert!(UnixStream::connect(&path).is_err(), "no process listens");
        let _socket = AdminSocket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn the_socket_of_a_running_host_is_not_replaced() {
        let (_dir, path) = socket_path();
        let first = AdminSocket::bind(&path).unwrap();
        let error = AdminSocket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("another host uses") && error.contains("admin.sock"), "{error}");
        UnixStream::connect(&path).unwrap();
        drop(first);
        let _stranger = Plain::bind(&path).unwrap();
        let error = AdminSocket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("another host uses"), "also one without a lock: {error}");
    }

    #[tokio::test]
    async fn other_files_and_long_paths_are_rejected() {
        let (dir, path) = socket_path();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(AdminSocket::bind(&path).unwrap_err().to_string().contains("not a socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let long = dir.path().join("x".repeat(MAX_PATH)).join("admin.sock");
        assert!(AdminSocket::bind(&long).unwrap_err().to_string().contains("`admin.socket`"));
    }
}
