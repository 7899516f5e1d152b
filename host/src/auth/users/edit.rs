//! The file of users, changed by a command: comments stay, and a reader finds the old file or the new.
//!
//! In: a text and what shall be other. Out: a text. It is written beside the old one, for its owner alone, and renamed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use super::check_name;
use crate::auth::credential::Credential;
use crate::auth::hash::Hash;
use crate::plugin::files::{private, temporary};

/// `text`, where this user has these credentials and no other: an old password must not live on under another hash.
/// An error is one sentence.
pub fn set(text: &str, name: &str, credentials: &[Credential]) -> Result<String, String> {
    check_name(name)?;
    edited(text, |users| {
        let user = users.entry(name).or_insert_with(|| Item::Table(Table::new()));
        let user = user.as_table_like_mut().ok_or_else(|| format!("`users.{name}` is not a table; remove it"))?;
        for hash in Hash::ALL {
            match credentials.iter().find(|credential| credential.hash() == hash) {
                Some(credential) => put(user, hash.key(), credential.to_string()),
                None => drop(user.remove(hash.key())),
            }
        }
        Ok(())
    })
}

/// `text` without this user. An error is one sentence.
pub fn remove(text: &str, name: &str) -> Result<String, String> {
    edited(text, |users| {
        users.remove(name).map(drop).ok_or_else(|| format!("there is no user `{name}`; see `barnabas user list`"))
    })
}

/// Only the value: what stands around it are comments.
fn put(user: &mut dyn TableLike, key: &str, text: String) {
    match user.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let around = old.decor().clone();
            *old = text.into();
            *old.decor_mut() = around;
        }
        None => drop(user.insert(key, value(text))),
    }
}

fn edited(text: &str, edit: impl FnOnce(&mut dyn TableLike) -> Result<(), String>) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        format!("the file cannot be changed, since it cannot be read: {}", error.message())
    })?;
    let users = document.entry("users").or_insert_with(|| {
        let mut users = Table::new();
        // Only `[users.NAME]` is written.
        users.set_implicit(true);
        Item::Table(users)
    });
    edit(users.as_table_like_mut().ok_or("`users` is not a table; write [users.NAME]")?)?;
    Ok(document.to_string())
}

/// Puts `text` into the place of `path`, or of what that links to, with mode 0600. Blocks.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        known => known?,
    };
    let fresh = temporary(&path);
    let written = private(&fresh).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
        return written;
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::auth::users::Users;

    const TEXT: &str = "# ours\n[users.bob] # since Monday\n";

    fn credential(hash: Hash, password: &str) -> Credential {
        Credential::of_password(hash, password, 4096).unwrap()
    }

    #[test]
    fn comments_stay_and_an_old_password_does_not() {
        let both = Hash::ALL.map(|hash| credential(hash, "old"));
        let text = set(TEXT, "bob", &both).unwrap();
        let text = text.replace("iterations=4096\"\n", "iterations=4096\" # his\n");
        let text = set(&text, "bob", &[credential(Hash::Sha256, "new")]).unwrap();
        for comment in ["# ours", "# since Monday", "# his"] {
            assert!(text.contains(comment), "{text}");
        }
        let users = Users::read(Path::new("u"), &text).unwrap();
        let key = [0; 32];
        assert!(users.credential("bob", None, &key).is_password("new"));
        assert!(!users.credential("bob", Some(Hash::Sha512), &key).is_password("old"));
    }

    #[test]
    fn users_come_and_go() {
        let text = set("", "a.b c", &[credential(Hash::Sha512, "x")]).unwrap();
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
    fn the_file_is_replaced_whole_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("users.toml"), dir.path().join("link.toml"));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, TEXT).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), TEXT);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&dir.path().join("no/such.toml"), TEXT).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
    }
}
