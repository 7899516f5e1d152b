//! The token that gives a TCP caller the rights of an operator.
//!
//! In: a file, created with 32 random bytes if it does not exist, and the tokens of requests. Out: whether they are
//! equal. Bounded: a file of at most 4 KiB. The comparison takes constant time. Never logs or shows the token. A file
//! that others can read is rejected, because its token may be known to them.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use barnabas_base::private_files::{create_private_file, temporary_path};

/// Maximum size of the file.
const MAX_BYTES: u64 = 4 << 10;
/// Minimum length of a token chosen by an operator.
const MIN_LENGTH: usize = 32;

/// The expected token.
#[derive(Clone)]
pub(super) struct AdminToken {
    file: PathBuf,
    /// HMAC with a random key: the time to compare two MACs reveals nothing about the number of equal characters.
    key: [u8; 32],
    tag: Vec<u8>,
}

impl AdminToken {
    /// Reads the token from this file; creates the file if it does not exist.
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        let token = match read(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(file)?;
                read(file)?
            }
            token => token?,
        };
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(io::Error::other)?;
        Ok(Self { file: file.to_owned(), key, tag: mac(&key, &token).finalize().into_bytes().to_vec() })
    }

    /// Path of its file.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether `given` is the token.
    pub(super) fn matches(&self, given: &str) -> bool {
        mac(&self.key, given).verify_slice(&self.tag).is_ok()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("file", &self.file).finish_non_exhaustive()
    }
}

fn mac(key: &[u8; 32], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac
}

/// Reads a token from a file that only its owner can read; the command uses it as well.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        let words = format!("{} can be read by others, so its token is not secret", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, words + "; remove it so that a new one is created"));
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() < MIN_LENGTH || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let words = format!("{} contains no token of at least {MIN_LENGTH} printable characters", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, words + "; remove it so that a new one is created"));
    }
    Ok(token.to_owned())
}

fn create(path: &Path) -> io::Result<()> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let temporary = temporary_path(path);
    let linked = create_private_file(&temporary).and_then(|mut file| {
        writeln!(file, "{}", URL_SAFE_NO_PAD.encode(secret))?;
        file.sync_all()?;
        // A link fails where a rename would replace: if two hosts start at the same time, both use the same token.
        fs::hard_link(&temporary, path)
    });
    let _ = fs::remove_file(&temporary);
    linked.or_else(|error| if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_created_once_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        let made = AdminToken::open(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(text.trim()).unwrap().len(), 32);
        for token in [made, AdminToken::open(&file).unwrap()] {
            assert!(token.matches(text.trim()));
            assert!(!token.matches("") && !token.matches(&text) && !token.matches(&text.trim()[1..]));
            assert!(!format!("{token:?}").contains(text.trim()));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_short_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("admin.token");
        fs::write(&file, "x".repeat(MIN_LENGTH)).unwrap();
        for mode in [0o644, 0o640, 0o602] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let error = AdminToken::open(&file).unwrap_err().to_string();
            assert!(error.contains("read by others") && error.contains("admin.token"), "{error}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(AdminToken::open(&file).unwrap().matches(&"x".repeat(MIN_LENGTH)));
        fs::write(&file, "x".repeat(MIN_LENGTH - 1)).unwrap();
        assert!(AdminToken::open(&file).unwrap_err().to_string().contains("contains no token"));
    }
}
