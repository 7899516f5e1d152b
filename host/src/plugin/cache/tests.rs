use std::fs::Permissions;

use super::super::artifact::make;
use super::super::testing::{ENGINES, Guest};
use super::*;

struct Room {
    dir: tempfile::TempDir,
    module: Vec<u8>,
}

impl Room {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), module: Guest::default().module() }
    }

    fn cache(&self) -> Cache {
        Cache::open(self.dir.path(), ENGINES.fingerprint()).unwrap()
    }

    fn digest(&self) -> Digest {
        Digest::of(&self.module)
    }

    /// Compiles the guest and keeps it.
    fn put(&self, cache: &Cache) -> (Inspection, Code) {
        let (inspection, code) = make(&ENGINES.on_demand, &self.module);
        let code = code.unwrap();
        cache.put(&inspection, &code);
        (inspection, code)
    }

    fn entry(&self) -> PathBuf {
        self.cache().path(&self.digest())
    }

    fn count(&self) -> usize {
        fs::read_dir(self.dir.path().join("code")).unwrap().count()
    }
}

/// Something that is kept under the digest of `name`.
fn small(cache: &Cache, name: u8, code: usize) -> Digest {
    let (mut inspection, _) = crate::plugin::artifact::inspect(b"");
    inspection.digest = Digest::of(&[name]);
    cache.put(&inspection, &Code::vouched(vec![name; code]));
    inspection.digest
}

fn age(cache: &Cache, digest: &Digest, seconds: u64) {
    let at = SystemTime::now() - std::time::Duration::from_secs(seconds);
    File::open(cache.path(digest)).unwrap().set_modified(at).unwrap();
}

#[test]
fn the_next_host_finds_what_was_kept() {
    let room = Room::new();
    let cache = room.cache();
    assert!(cache.get(&room.digest()).is_none());
    let (inspection, code) = room.put(&cache);
    let (found, found_code) = room.cache().get(&room.digest()).unwrap();
    assert_eq!(found, inspection);
    assert_eq!(found_code.bytes(), code.bytes());
    found_code.load(&ENGINES.on_demand).unwrap();
    found_code.load(ENGINES.pooling.as_ref().unwrap()).unwrap();
}

#[test]
fn a_damaged_entry_is_removed() {
    let room = Room::new();
    let cache = room.cache();
    room.put(&cache);
    let good = fs::read(room.entry()).unwrap();
    for at in [0, 11, 12, 43, 44, 47, 48, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(room.entry(), bad).unwrap();
        assert!(cache.get(&room.digest()).is_none(), "byte {at} was changed and nobody noticed");
        assert_eq!(room.count(), 0, "it was removed");
    }
    for length in [0, 12, 44, 48, good.len() - 1] {
        fs::write(cache.path(&room.digest()), &good[..length]).unwrap();
        assert!(cache.get(&room.digest()).is_none(), "cut to {length} bytes and nobody noticed");
    }
    fs::write(cache.path(&room.digest()), good).unwrap();
    assert!(cache.get(&room.digest()).is_some());
}

#[test]
fn an_entry_of_another_host_name_or_engine_is_not_used() {
    let (room, other) = (Room::new(), Room::new());
    other.put(&other.cache());
    let cache = room.cache();
    fs::copy(other.entry(), cache.path(&room.digest())).unwrap();
    assert!(cache.get(&room.digest()).is_none(), "signed with another key");
    room.put(&cache);
    let elsewhere = Digest::of(b"another artifact");
    fs::copy(room.entry(), cache.path(&elsewhere)).unwrap();
    assert!(cache.get(&elsewhere).is_none(), "signed under another name");
    let upgraded = Cache::open(room.dir.path(), [7; 32]).unwrap();
    fs::copy(room.entry(), upgraded.path(&room.digest())).unwrap();
    assert!(upgraded.get(&room.digest()).is_none(), "compiled by another engine");
    assert!(cache.get(&room.digest()).is_some());
}

#[test]
fn other_formats_are_removed_when_it_is_opened() {
    let room = Room::new();
    let cache = room.cache();
    room.put(&cache);
    let dir = room.dir.path().join("code");
    for (name, bytes) in
        [("a.code", b"barnabas\0\0\0\x01 of old".as_slice()), ("b.code", b"barnabas\0\0\0\x03"), ("c", b"")]
    {
        fs::write(dir.join(name), bytes).unwrap();
    }
    let left = files::temporary(&dir.join("d.code"));
    fs::write(&left, b"half").unwrap();
    let cache = room.cache();
    assert_eq!(room.count(), 2, "the entry, and what may be being written");
    sweep(&dir, SystemTime::now() + files::GRACE * 2).unwrap();
    assert!(!left.exists());
    assert!(cache.get(&room.digest()).is_some());
}

#[test]
fn a_directory_that_takes_nothing_costs_only_time() {
    let room = Room::new();
    let cache = room.cache();
    fs::remove_dir_all(room.dir.path().join("code")).unwrap();
    room.put(&cache);
    assert!(cache.get(&room.digest()).is_none());
}

#[test]
fn the_key_and_the_entries_are_private_or_refused() {
    let room = Room::new();
    room.put(&room.cache());
    let key = room.dir.path().join("host.key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&key), mode(&room.entry()), mode(room.entry().parent().unwrap())), (0o600, 0o600, 0o700));
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = Cache::open(room.dir.path(), [0; 32]).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::remove_file(&key).unwrap();
    files::private(&key).unwrap().write_all(b"short").unwrap();
    assert!(Cache::open(room.dir.path(), [0; 32]).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn entries_obeyed_and_violated() {
    let room = Room::new();
    let cache = Cache { bounds: Bounds { entries: 3, ..BOUNDS }, ..room.cache() };
    let [a, b, c] = [1, 2, 3].map(|name| small(&cache, name, 1));
    for (digest, seconds) in [(a, 30), (b, 20), (c, 10)] {
        age(&cache, &digest, seconds);
    }
    assert!(cache.get(&a).is_some(), "three fit; this one is now the last used");
    let d = small(&cache, 4, 1);
    assert_eq!(room.count(), 3);
    assert!(cache.get(&b).is_none(), "it was not used for longest");
    assert!([a, c, d].iter().all(|digest| cache.get(digest).is_some()));
}

#[test]
fn bytes_obeyed_and_violated() {
    let room = Room::new();
    let cache = Cache { bounds: Bounds { bytes: 10_000, ..BOUNDS }, ..room.cache() };
    let [a, b] = [1, 2].map(|name| small(&cache, name, 4_000));
    age(&cache, &a, 20);
    age(&cache, &b, 10);
    assert_eq!(room.count(), 2, "both fit");
    let c = small(&cache, 3, 4_000);
    assert!(cache.get(&a).is_none());
    assert!([b, c].iter().all(|digest| cache.get(digest).is_some()));
    let large = small(&cache, 4, 10_000);
    assert!(cache.get(&large).is_none(), "what is larger than all of it is not kept");
}
