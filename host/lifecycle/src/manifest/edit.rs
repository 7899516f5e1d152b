//! Edits of manifests by commands, which preserve everything else that the operator wrote, including comments.
//!
//! In: a text and a change. Out: the new text. Files are written to a temporary file and renamed, so that a reader
//! finds either the old or the new text, also after a crash.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::change::ManifestPatch;
use barnabas_base::digest::Digest;
use barnabas_base::private_files;

/// Sets `digest`. The artifact store has this artifact, so the file in `artifact` is ignored.
pub(crate) fn with_digest(text: &str, digest: Digest) -> Result<String, String> {
    edit_document(text, |document| {
        document.insert("digest", value(digest.to_string()));
        Ok(())
    })
}

/// Sets or removes `paused`.
pub(crate) fn with_paused(text: &str, paused: bool) -> Result<String, String> {
    edit_document(text, |document| {
        if paused {
            document.insert("paused", value(true));
        } else {
            document.remove("paused");
        }
        Ok(())
    })
}

/// Replaces the tables `[rollout]` and `[self-test]` of `text` by those of `now`.
pub(crate) fn with_rollout_of(text: &str, now: &str) -> Result<String, String> {
    let Ok(now) = now.parse::<DocumentMut>() else { return Ok(text.to_owned()) };
    edit_document(text, |document| {
        for key in ["rollout", "self-test"] {
            match now.get(key) {
                Some(item) => document.insert(key, item.clone()),
                None => document.remove(key),
            };
        }
        Ok(())
    })
}

/// Applies a patch to `text`, or to the manifest that the patch contains.
pub(crate) fn apply_patch(text: &str, wanted: &ManifestPatch) -> Result<String, String> {
    edit_document(wanted.manifest.as_deref().unwrap_or(text), |document| {
        if let Some(digest) = wanted.digest {
            document.remove("artifact");
            document.insert("digest", value(digest.to_string()));
        }
        merge(document, "settings", &wanted.settings)?;
        merge(document, "limits", &wanted.limits)?;
        add_grants(document, wanted)
    })
}

/// Sets keys of a table; `null` removes a key.
fn merge(document: &mut DocumentMut, section: &str, members: &Map<String, Json>) -> Result<(), String> {
    for (key, json) in members {
        let table = table(document, section)?;
        match to_toml(json).map_err(|problem| format!("`{section}.{key}`: {problem}"))? {
            Some(new) => drop(table.insert(key, Item::Value(new))),
            None => drop(table.remove(key)),
        }
    }
    Ok(())
}

/// Adds grants to the existing ones; numbers replace the old ones.
fn add_grants(document: &mut DocumentMut, wanted: &ManifestPatch) -> Result<(), String> {
    add_to_list(document, ("http", "host:port"), &wanted.grant_http)?;
    add_to_list(document, ("addresses", "10.0.0.0/8"), &wanted.grant_addresses)?;
    if let Some(own) = wanted.grant_own_listeners {
        table(document, "grants")?.insert("own-listeners", value(own));
    }
    if let Some(bytes) = wanted.grant_state {
        table(document, "grants")?.insert("state", value(bytes.to_string()));
    }
    if let Some(keys) = wanted.grant_state_keys {
        let keys = i64::try_from(keys).map_err(|_| format!("`grants.state-keys` cannot be {keys}"))?;
        table(document, "grants")?.insert("state-keys", value(keys));
    }
    Ok(())
}

fn add_to_list(document: &mut DocumentMut, (key, example): (&str, &str), more: &[String]) -> Result<(), String> {
    if more.is_empty() {
        return Ok(());
    }
    let list = table(document, "grants")?.entry(key).or_insert_with(|| value(Array::new()));
    let list = list.as_array_mut();
    let list = list.ok_or_else(|| format!("`grants.{key}` is not a list; write {key} = [\"{example}\"]"))?;
    for grant in more {
        if !list.iter().any(|known| known.as_str() == Some(grant)) {
            list.push(grant);
        }
    }
    Ok(())
}

fn table<'a>(document: &'a mut DocumentMut, key: &str) -> Result<&'a mut dyn toml_edit::TableLike, String> {
    let item = document.entry(key).or_insert_with(|| Item::Table(Table::new()));
    item.as_table_like_mut().ok_or_else(|| format!("`{key}` is not a table; write it as [{key}]"))
}

fn edit_document(text: &str, edit: impl FnOnce(&mut DocumentMut) -> Result<(), String>) -> Result<String, String> {
    let mut document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        format!("the manifest cannot be changed, because it cannot be read: {}", error.message())
    })?;
    edit(&mut document)?;
    Ok(document.to_string())
}

/// Converts JSON to TOML. `None` for JSON's null, which TOML does not have.
fn to_toml(json: &Json) -> Result<Option<Value>, String> {
    Ok(Some(match json {
        Json::Null => return Ok(None),
        Json::Bool(truth) => (*truth).into(),
        Json::String(text) => text.as_str().into(),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(float)) if number.is_f64() => float.into(),
            _ => return Err(format!("{number} is larger than TOML's integers")),
        },
        Json::Array(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| to_toml(item)?.ok_or(NO_NULL.to_owned())).collect();
            Value::Array(items?.into_iter().collect())
        }
        Json::Object(members) => {
            let member = |(name, json): (&String, &Json)| Ok((name.clone(), to_toml(json)?.ok_or(NO_NULL.to_owned())?));
            Value::InlineTable(members.iter().map(member).collect::<Result<InlineTable, String>>()?)
        }
    }))
}

const NO_NULL: &str = "it contains null, which TOML does not have";

/// Whether `text` has `paused = true`; an unreadable text has not.
pub(crate) fn is_paused(text: &str) -> bool {
    let document = text.parse::<DocumentMut>().ok();
    document.and_then(|document| document.get("paused")?.as_bool()).unwrap_or(false)
}

/// Replaces the file if it still contains `before`. The current value of `paused` is preserved. Blocks.
pub(crate) fn replace(path: &Path, before: &str, text: &str) -> Result<(), String> {
    let now = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|error| error.to_string())?,
    };
    let unpaused = |text: &str| with_paused(text, false).unwrap_or_else(|_| text.to_owned());
    if unpaused(&now) != unpaused(before) {
        return Err("it was changed in the meantime; check what it contains now, then try again".into());
    }
    let pausing = is_paused(&now) || (now.is_empty() && is_paused(text));
    let text = with_paused(text, pausing)?;
    write(path, &text).map_err(|error| error.to_string())
}

/// Atomically replaces the file `path`, following a symbolic link. A new file gets mode 0600, since settings can
/// contain credentials. Blocks.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = resolve_link(path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    // The temporary name is not that of a manifest.
    let temporary = private_files::temporary_path(&path);
    let written = private_files::create_private_file(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        if let Ok(old) = fs::metadata(&path) {
            file.set_permissions(old.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_dir(folder)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Removes a manifest. Blocks.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn sync_dir(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

fn resolve_link(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    const TEXT: &str =
        "# ours\nartifact = \"sink.wasm\" # built on Monday\n[settings]\n# where to\nendpoint = \"http://a\"\n";

    fn change(text: &str, json: serde_json::Value) -> Result<String, String> {
        apply_patch(text, &serde_json::from_value(json).unwrap())
    }

    #[test]
    fn comments_are_preserved() {
        let digest = Digest::compute(b"x");
        let text = with_digest(TEXT, digest).unwrap();
        assert!(text.contains("# ours") && text.contains("# built on Monday") && text.contains("# where to"), "{text}");
        assert!(text.contains(&format!("digest = \"{digest}\"")), "{text}");
        let text = with_paused(TEXT, true).unwrap();
        assert!(text.contains("paused = true"), "{text}");
        assert_eq!(with_paused(&text, false).unwrap(), TEXT);
    }

    #[test]
    fn the_rollout_tables_come_from_the_current_text() {
        let now = "digest = \"x\"\n[rollout]\ncanary = \"5%\" # since June\n[settings]\nn = 1\n";
        let text = with_rollout_of(&format!("{TEXT}[self-test]\nreply = {{ status = 201 }}\n"), now).unwrap();
        assert_eq!(text, format!("{TEXT}[rollout]\ncanary = \"5%\" # since June\n"));
        assert_eq!(with_rollout_of(&text, TEXT).unwrap(), TEXT);
        assert_eq!(with_rollout_of(TEXT, "= what").unwrap(), TEXT, "the current text is unreadable");
    }

    #[test]
    fn settings_and_grants_are_added_replaced_and_removed() {
        let settings = json!({"endpoint": null, "labels": ["a", "b"], "n": 3, "x": {"y": 1.5, "z": true}});
        let text = change(TEXT, json!({"settings": settings, "grant-http": ["a:1", "b:2"]})).unwrap();
        let again = change(&text, json!({"grant-http": ["b:2", "c:3"]})).unwrap();
        let table: toml::Table = again.parse().unwrap();
        assert_eq!(table["settings"]["labels"][1].as_str(), Some("b"));
        assert_eq!(table["settings"]["x"]["y"].as_float(), Some(1.5));
        assert!(table["settings"].get("endpoint").is_none());
        assert_eq!(table["grants"]["http"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn state_and_limits_replace_earlier_values() {
        let asked = json!({
            "grant-state": "1KiB", "grant-state-keys": 5, "grant-addresses": ["10.0.0.0/8", "10.0.0.0/8"],
            "limits": {"memory": "32MiB", "instances": 4}
        });
        let text = change(TEXT, asked).unwrap();
        let again = json!({"grant-state": 4096, "grant-addresses": ["fd00::/8"], "limits": {"memory": null}});
        let again = change(&text, again).unwrap();
        let table: toml::Table = again.parse().unwrap();
        let grants = &table["grants"];
        assert_eq!((grants["state"].as_str(), grants["state-keys"].as_integer()), (Some("4KiB"), Some(5)));
        assert_eq!(grants["addresses"].as_array().unwrap().len(), 2);
        assert_eq!((table["limits"].get("memory"), table["limits"]["instances"].as_integer()), (None, Some(4)));
    }

    #[test]
    fn an_uploaded_artifact_replaces_a_file() {
        let digest = Digest::compute(b"x").to_string();
        let text = change(TEXT, json!({"digest": digest})).unwrap();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!((table.get("artifact"), table["digest"].as_str()), (None, Some(digest.as_str())));
        let whole = change(TEXT, json!({"manifest": "[settings]\na = 1\n", "digest": digest})).unwrap();
        assert!(whole.contains("a = 1") && !whole.contains("endpoint"), "{whole}");
    }

    #[test]
    fn invalid_patches_are_refused_with_the_key() {
        assert!(change(TEXT, json!({"settings": {"a": [null]}})).unwrap_err().contains("`settings.a`"));
        assert!(change("settings = 1", json!({"settings": {"a": 1}})).unwrap_err().contains("[settings]"));
        assert!(change("[grants]\nhttp = 1", json!({"grant-http": ["a:1"]})).unwrap_err().contains("grants.http"));
        assert!(change("= what", json!({})).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn files_are_replaced_atomically_and_links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.toml"), dir.path().join("link.toml"));
        write(&real, "a = 1").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        replace(&link, "a = 1", "a = 2").unwrap();
        assert!(replace(&link, "a = 1", "a = 3").unwrap_err().contains("in the meantime"));
        assert_eq!(fs::read_to_string(&real).unwrap().trim(), "a = 2");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
        remove(&link).unwrap();
        assert!(write(&dir.path().join("no/such.toml"), "").is_err());
        let fresh = dir.path().join("fresh.toml");
        replace(&fresh, "", "a = 1").unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_pause_survives_a_new_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sink.toml");
        write(&path, &with_paused(TEXT, true).unwrap()).unwrap();
        replace(&path, TEXT, "digest = \"x\"\n").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(is_paused(&text) && text.contains("digest"), "{text}");
    }
}
