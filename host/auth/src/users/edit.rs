//! Edits the users file: comments are preserved, and a reader finds either the old file or the new one.
//!
//! In: a text and the change. Out: a text. The new file is written beside the old one, with its owner and mode but
//! never world-accessible, and then renamed. A caller that reads in order to write acquires the [`lock`] first.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, RawString, Table, TableLike, value};

use super::check_name;
use crate::credential::ScramCredential;
use crate::hash::ScramHash;
use barnabas_base::private_files::{create_private_file, temporary_path};

/// `text` with exactly these credentials for this user: an old password must not stay valid under another hash. The
/// error is one sentence.
pub fn set(text: &str, name: &str, credentials: &[ScramCredential]) -> Result<String, String> {
    check_name(name)?;
    edit_users(text, |users| {
        let user = users.entry(name).or_insert_with(|| Item::Table(Table::new()));
        let user = user.as_table_like_mut().ok_or_else(|| format!("`users.{name}` is not a table; remove it"))?;
        for hash in ScramHash::ALL {
            match credentials.iter().find(|credential| credential.hash() == hash) {
                Some(credential) => set_value(user, hash.key(), credential.to_string()),
                None => drop(user.remove(hash.key())),
            }
        }
        Ok(String::new())
    })
}

/// `text` without this user. The error is one sentence.
pub fn remove(text: &str, name: &str) -> Result<String, String> {
    edit_users(text, |users| {
        let gone = users.remove(name).ok_or_else(|| format!("there is no user `{name}`; see `barnabas user list`"))?;
        Ok(gone.as_table().map(|gone| move_comments(gone, users)).unwrap_or_default())
    })
}

/// Moves the comments above a removed table to the next one, since they may belong to the file. If there is no next
/// table they are returned.
fn move_comments(gone: &Table, users: &mut dyn TableLike) -> String {
    let comments = raw_text(gone.decor().prefix());
    if !comments.contains('#') {
        return String::new();
    }
    let others = users.iter_mut().filter_map(|(_, user)| user.as_table_mut());
    match others.filter(|other| other.position() > gone.position()).min_by_key(|other| other.position()) {
        Some(next) => {
            let both = comments + &raw_text(next.decor().prefix());
            next.decor_mut().set_prefix(both);
            String::new()
        }
        None => comments,
    }
}

fn raw_text(text: Option<&RawString>) -> String {
    text.and_then(RawString::as_str).unwrap_or_default().to_owned()
}

/// Replaces only the value: comments around it are preserved.
fn set_value(user: &mut dyn TableLike, key: &str, text: String) {
    match user.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let around = old.decor().clone();
            *old = text.into();
            *old.decor_mut() = around;
        }
        None => drop(user.insert(key, value(text))),
    }
}

/// `edit` returns the comments to append to the file.
fn edit_users(text: &str, edit: impl FnOnce(&mut dyn TableLike) -> Result<String, String>) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        format!("the file cannot be changed, since it cannot be read: {}", error.message())
    })?;
    let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
    let users = document.entry("users").or_insert_with(|| {
        let mut users = Table::new();
        // Only `[users.NAME]` is written.
        users.set_implicit(true);
        Item::Table(users)
    });
    let users = users.as_table_like_mut().ok_or("`users` is not a table; write [users.NAME]")?;
    let first = users.is_empty();
    let left = edit(users)?;
    // Comments of a file without users are at its end, and must not end up below the first user.
    let above = users.iter_mut().next().filter(|_| first).and_then(|(_, user)| user.as_table_mut());
    match above {
        Some(table) => {
            table.decor_mut().set_prefix(trailing);
            document.set_trailing("");
        }
        None => document.set_trailing(left + &trailing),
    }
    Ok(document.to_string())
}

/// Prevents other commands from changing `path` until it is dropped. It locks the directory, since the file itself is
/// replaced. Blocks until the lock is acquired.
pub fn lock(path: &Path) -> io::Result<File> {
    let folder = File::open(folder(&resolve_link(path)?))?;
    folder.lock()?;
    Ok(folder)
}

/// Replaces `path`, or the file that it links to, with `text`, and returns its path. Owner, group and mode are
/// preserved as far as permitted, without access for others; a new file is accessible to its owner only. Blocks.
pub fn write(path: &Path, text: &str) -> io::Result<PathBuf> {
    let path = resolve_link(path)?;
    let fresh = temporary_path(&path);
    let written = create_private_file(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        match fs::metadata(&path) {
            Ok(old) => preserve_ownership(&file, &old)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        file.sync_all()?;
        fs::rename(&fresh, &path)
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    File::open(folder(&path))?.sync_all()?;
    Ok(path)
}

/// The host that reads the file often runs as another user than the command that writes it. Group access is preserved
/// only with the group.
fn preserve_ownership(fresh: &File, old: &fs::Metadata) -> io::Result<()> {
    let ours = fresh.metadata()?;
    let same_group = ours.gid() == old.gid() || fchown(fresh, None, Some(old.gid())).is_ok();
    if ours.uid() != old.uid() {
        // Only root may; another user becomes the owner.
        let _ = fchown(fresh, Some(old.uid()), None);
    }
    let most = if same_group { 0o640 } else { 0o600 };
    fresh.set_permissions(fs::Permissions::from_mode(old.mode() & most))
}

fn resolve_link(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        known => known,
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::users::Users;

    const TEXT: &str = "# ours\n[users.bob] # since Monday\n";

    fn credential(hash: ScramHash, password: &str) -> ScramCredential {
        ScramCredential::from_password(hash, password, 4096).unwrap()
    }

    #[test]
    fn comments_stay_and_an_old_password_does_not() {
        let both = ScramHash::ALL.map(|hash| credential(hash, "old"));
        let text = set(TEXT, "bob", &both).unwrap();
        let text = text.replace("iterations=4096\"\n", "iterations=4096\" # bob's key\n");
        let text = set(&text, "bob", &[credential(ScramHash::Sha256, "new")]).unwrap();
        for comment in ["# ours", "# since Monday", "# bob's key"] {
            assert!(text.contains(comment), "{text}");
        }
        let users = Users::read(Path::new("u"), &text).unwrap();
        let key = [0; 32];
        assert!(users.credential("bob", None, &key).verify_password("new"));
        assert!(!users.credential("bob", Some(ScramHash::Sha512), &key).verify_password("old"));
    }

    #[test]
    fn users_come_and_go() {
        let text = set("", "a.b c", &[credential(ScramHash::Sha512, "x")]).unwrap();
        assert!(text.starts_with("[users.\"a.b c\"]"), "{text}");
        let users = Users::read(Path::new("u"), &text).unwrap();
        assert_eq!(users.iter().map(|(name, has)| (name, has.len())).collect::<Vec<_>>(), [("a.b c", 1)]);
        let text = remove(&text, "a.b c").unwrap();
        assert_eq!(Users::read(Path::new("u"), &text).unwrap().iter().count(), 0);
        assert!(remove(&text, "a.b c").unwrap_err().contains("no user `a.b c`"));
        assert!(set("", "", &[]).unwrap_err().contains("cannot be a user's name"));
        assert!(set("users = 1", "a", &[]).unwrap_err().contains("[users.NAME]"));
        assert!(set("= what", "a", &[]).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn the_files_comments_survive_its_users() {
        let one = [credential(ScramHash::Sha256, "x")];
        let text = set("# ours\n\n# to be kept\n", "alice", &one).unwrap();
        let text = set(&text, "bob", &one).unwrap();
        let text = text.replace("[users.bob]", "# bob's\n[users.bob]");
        assert!(text.starts_with("# ours\n\n# to be kept\n[users.alice]"), "{text}");
        let left = remove(&text, "alice").unwrap();
        assert!(left.starts_with("# ours\n\n# to be kept\n\n# bob's\n[users.bob]"), "{left}");
        let last = remove(&text, "bob").unwrap();
        assert!(last.starts_with("# ours\n") && last.ends_with("\n# bob's\n"), "{last}");
        let empty = remove(&left, "bob").unwrap();
        assert_eq!(empty, "# ours\n\n# to be kept\n\n# bob's\n");
        assert!(set(&empty, "carol", &one).unwrap().starts_with("# ours\n\n# to be kept\n\n# bob's\n[users.carol]"));
        for text in [last, left] {
            assert_eq!(Users::read(Path::new("u"), &text).unwrap().iter().count(), 1);
        }
    }

    #[test]
    fn one_change_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("users.toml"), dir.path().join("link.toml"));
        let held = lock(&file).unwrap();
        assert!(File::open(dir.path()).unwrap().try_lock().is_err());
        drop(held);
        write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let held = lock(&link).unwrap();
        assert!(File::open(dir.path()).unwrap().try_lock().is_err(), "a new file under the same name changes nothing");
        drop(held);
        assert!(File::open(dir.path()).unwrap().try_lock().is_ok());
    }

    #[test]
    fn ownership_and_mode_are_preserved() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users.toml");
        let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(write(&file, TEXT).unwrap(), fs::canonicalize(&file).unwrap());
        assert_eq!(mode(), 0o600, "a new file is accessible to its owner only");
        for (before, after) in [(0o640, 0o640), (0o600, 0o600), (0o666, 0o640), (0o400, 0o400)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(before)).unwrap();
            write(&file, TEXT).unwrap();
            assert_eq!(mode(), after, "{before:o}");
        }
        // A user who may change owners preserves the owner.
        if std::os::unix::fs::chown(&file, Some(12_345), Some(54_321)).is_ok() {
            write(&file, TEXT).unwrap();
            let meta = fs::metadata(&file).unwrap();
            assert_eq!((meta.uid(), meta.gid(), mode()), (12_345, 54_321, 0o400));
        }
    }

    #[test]
    fn the_file_is_replaced_atomically_and_never_world_readable() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("users.toml"), dir.path().join("link.toml"));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, TEXT).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), TEXT);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(write(&dir.path().join("no/such.toml"), TEXT).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
    }
}
