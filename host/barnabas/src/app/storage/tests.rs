use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::app::App;
use crate::config::Config;
use crate::config::raw::RawConfig;

struct StorageFixture {
    dir: TempDir,
    written: RawConfig,
}

impl StorageFixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut written = RawConfig {
            plugins_dir: dir.path().join("plugins.d"),
            data_dir: dir.path().join("data"),
            ..RawConfig::default()
        };
        written.admin.bind.set_port(0);
        written.listeners.iter_mut().for_each(|listener| listener.bind.set_port(0));
        Self { dir, written }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.written.data_dir.join(name)
    }

    fn config(&self) -> Config {
        Config::resolve(&self.written).unwrap()
    }

    /// Why the host does not start.
    async fn start_error(&self) -> String {
        let error = App::build(self.config()).await.map(|_| "it started").unwrap_err();
        let words = format!("{error:#}");
        assert!(!words.contains('\n'), "one sentence: {words}");
        words
    }

    async fn start(&self) -> App {
        App::build(self.config()).await.unwrap()
    }
}

/// A path where no directory can be created, not even by root.
fn uncreatable_directory(room: &StorageFixture) -> PathBuf {
    let file = room.dir.path().join("file");
    fs::write(&file, "").unwrap();
    file.join("data")
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_made_ends_the_start() {
    let mut room = StorageFixture::new();
    for place in [uncreatable_directory(&room), "/proc/barnabas".into()] {
        room.written.data_dir = place;
        let said = room.start_error().await;
        for word in ["barnabas.redb", "cannot open the store", "`data-dir`", "--ephemeral"] {
            assert!(said.contains(word), "`{said}` should say `{word}`");
        }
    }
}

#[tokio::test]
async fn a_data_directory_that_is_a_file_ends_the_start() {
    let room = StorageFixture::new();
    fs::write(&room.written.data_dir, "precious").unwrap();
    let said = room.start_error().await;
    assert!(said.contains("is not a directory") && said.contains("--ephemeral"), "{said}");
    assert_eq!(fs::read(&room.written.data_dir).unwrap(), b"precious");
}

#[tokio::test]
async fn a_store_that_is_damaged_ends_the_start_and_stays_as_it_is() {
    let room = StorageFixture::new();
    fs::create_dir(&room.written.data_dir).unwrap();
    fs::write(room.data("barnabas.redb"), "nonsense").unwrap();
    let said = room.start_error().await;
    assert!(said.contains("barnabas.redb: the store is damaged") && said.contains("restore a backup"), "{said}");
    assert_eq!(fs::read(room.data("barnabas.redb")).unwrap(), b"nonsense");
}

#[tokio::test]
async fn a_store_that_is_a_directory_ends_the_start() {
    let room = StorageFixture::new();
    fs::create_dir_all(room.data("barnabas.redb")).unwrap();
    let said = room.start_error().await;
    assert!(said.contains("barnabas.redb: cannot open the store") && said.contains("--ephemeral"), "{said}");
}

#[tokio::test]
async fn a_second_host_of_one_directory_is_refused_first() {
    let room = StorageFixture::new();
    let _first = room.start().await;
    let said = room.start_error().await;
    assert!(said.contains("another host uses this data directory; stop it, or give each host"), "{said}");
}

#[tokio::test]
async fn files_beside_the_store_that_cannot_be_used_end_the_start_too() {
    for (name, words) in [
        ("audit.log", ["the audit log cannot be opened", "correct its permissions"]),
        ("artifacts", ["cannot store artifacts", "`data-dir`"]),
        ("admin.token", ["the admin endpoint's token", "admin.token"]),
    ] {
        let room = StorageFixture::new();
        fs::create_dir_all(&room.written.data_dir).unwrap();
        if name == "artifacts" {
            fs::write(room.data(name), "a file").unwrap();
        } else {
            fs::create_dir(room.data(name)).unwrap();
        }
        let said = room.start_error().await;
        for word in words {
            assert!(said.contains(word), "`{said}` should say `{word}`");
        }
    }
}

#[tokio::test]
async fn an_unusable_code_cache_is_not_fatal() {
    let room = StorageFixture::new();
    fs::create_dir_all(&room.written.data_dir).unwrap();
    fs::write(room.data("code"), "a file").unwrap();
    room.start().await;
}

#[tokio::test]
async fn records_that_cannot_be_read_end_the_start() {
    let room = StorageFixture::new();
    let store = Store::open(&room.written.data_dir).unwrap();
    store.put_record("slot", "sink", &"of another form").unwrap();
    drop(store);
    let said = room.start_error().await;
    assert!(said.contains("record slot/sink") && said.contains("start the release that wrote it"), "{said}");
}

#[tokio::test]
async fn an_ephemeral_host_needs_no_data_directory_and_makes_none() {
    let mut room = StorageFixture::new();
    room.written.data_dir = uncreatable_directory(&room);
    room.written.ephemeral = true;
    let app = room.start().await;
    assert_eq!(app.addresses().admin_socket, None);
    let host = app.host();
    let digest = host.plugins.store_artifact(b"artifact".as_slice().into()).await.unwrap();
    assert!(digest.to_string().starts_with("sha256:"));
    assert_eq!(host.plugins.audit().read(9).unwrap(), []);
    let names: Vec<_> = fs::read_dir(room.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() == 2 && !names.contains(&"data".into()), "{names:?}");
}

#[tokio::test]
async fn an_ephemeral_host_serves_admin_on_a_configured_socket() {
    let mut room = StorageFixture::new();
    let socket = room.dir.path().join("here.sock");
    room.written.admin.socket = Some(socket.clone());
    let mut config = room.config();
    config.make_ephemeral();
    let app = App::build(config).await.unwrap();
    assert_eq!(app.addresses().admin_socket, Some(socket));
    assert!(!room.written.data_dir.exists());
}

#[test]
fn an_ephemeral_host_cannot_keep_pushes_on_the_disk() {
    let mut room = StorageFixture::new();
    (room.written.ephemeral, room.written.recent_pushes.keep) = (true, 5);
    assert_eq!(room.config().recent.file, None);
    room.written.recent_pushes.on_disk = true;
    let said = Config::resolve(&room.written).unwrap_err().to_string();
    assert!(said.contains("`recent-pushes.on-disk`") && said.contains("`ephemeral`"), "{said}");
}
