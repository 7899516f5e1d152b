use std::fs::Permissions;

use super::super::artifact::examine_and_compile;
use super::super::testing::{ENGINES, TestGuest};
use super::*;

struct CacheFixture {
    dir: tempfile::TempDir,
    module: Vec<u8>,
}

impl CacheFixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), module: TestGuest::default().module() }
    }

    fn cache(&self) -> CodeCache {
        CodeCache::open(self.dir.path(), ENGINES.fingerprint()).unwrap()
    }

    fn digest(&self) -> Digest {
        Digest::compute(&self.module)
    }

    /// Compiles the guest and stores it in the cache.
    fn put(&self, cache: &CodeCache) -> (Inspection, CompiledCode) {
        let (inspection, code) = examine_and_compile(&ENGINES.on_demand, &self.module);
        let code = code.unwrap();
        cache.put(&inspection, &code);
        (inspection, code)
    }

    fn entry_path(&self) -> PathBuf {
        self.cache().path(&self.digest())
    }

    fn count(&self) -> usize {
        fs::read_dir(self.dir.path().join("code")).unwrap().count()
    }
}

/// Stores a small entry under the digest of `name`.
fn put_small(cache: &CodeCache, name: u8, code: usize) -> Digest {
    let (mut inspection, _) = crate::artifact::inspect(b"");
    inspection.digest = Digest::compute(&[name]);
    cache.put(&inspection, &CompiledCode::trusted(vec![name; code]));
    inspection.digest
}

fn set_age(cache: &CodeCache, digest: &Digest, seconds: u64) {
    let at = SystemTime::now() - std::time::Duration::from_secs(seconds);
    File::open(cache.path(digest)).unwrap().set_modified(at).unwrap();
}

#[test]
fn entries_survive_a_restart() {
    let room = CacheFixture::new();
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
    let room = CacheFixture::new();
    let cache = room.cache();
    room.put(&cache);
    let good = fs::read(room.entry_path()).unwrap();
    for at in [0, 11, 12, 43, 44, 47, 48, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(room.entry_path(), bad).unwrap();
        assert!(cache.get(&room.digest()).is_none(), "the change of byte {at} was not noticed");
        assert_eq!(room.count(), 0, "it was removed");
    }
    for length in [0, 12, 44, 48, good.len() - 1] {
        fs::write(cache.path(&room.digest()), &good[..length]).unwrap();
        assert!(cache.get(&room.digest()).is_none(), "truncation to {length} bytes was not noticed");
    }
    fs::write(cache.path(&room.digest()), good).unwrap();
    assert!(cache.get(&room.digest()).is_some());
}

#[test]
fn an_entry_with_another_key_name_or_engine_is_not_used() {
    let (room, other) = (CacheFixture::new(), CacheFixture::new());
    other.put(&other.cache());
    let cache = room.cache();
    fs::copy(other.entry_path(), cache.path(&room.digest())).unwrap();
    assert!(cache.get(&room.digest()).is_none(), "signed with another key");
    room.put(&cache);
    let elsewhere = Digest::compute(b"another artifact");
    fs::copy(room.entry_path(), cache.path(&elsewhere)).unwrap();
    assert!(cache.get(&elsewhere).is_none(), "signed under another name");
    let upgraded = CodeCache::open(room.dir.path(), [7; 32]).unwrap();
    fs::copy(room.entry_path(), upgraded.path(&room.digest())).unwrap();
    assert!(upgraded.get(&room.digest()).is_none(), "compiled by another engine");
    assert!(cache.get(&room.digest()).is_some());
}

#[test]
fn other_formats_are_removed_when_it_is_opened() {
    let room = CacheFixture::new();
    let cache = room.cache();
    room.put(&cache);
    let dir = room.dir.path().join("code");
    for (name, bytes) in
        [("a.code", b"barnabas\0\0\0\x01 of old".as_slice()), ("b.code", b"barnabas\0\0\0\x03"), ("c", b"")]
    {
        fs::write(dir.join(name), bytes).unwrap();
    }
    let left = private_files::temporary_path(&dir.join("d.code"));
    fs::write(&left, b"half").unwrap();
    let cache = room.cache();
    assert_eq!(room.count(), 2, "the entry, and the temporary file of a possible writer");
    remove_foreign_files(&dir, SystemTime::now() + private_files::GRACE_PERIOD * 2).unwrap();
    assert!(!left.exists());
    assert!(cache.get(&room.digest()).is_some());
}

#[test]
fn an_unusable_directory_only_disables_caching() {
    let room = CacheFixture::new();
    let cache = room.cache();
    fs::remove_dir_all(room.dir.path().join("code")).unwrap();
    room.put(&cache);
    assert!(cache.get(&room.digest()).is_none());
}

#[test]
fn the_key_and_the_entries_are_private() {
    let room = CacheFixture::new();
    room.put(&room.cache());
    let key = room.dir.path().join("host.key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&key), mode(&room.entry_path()), mode(room.entry_path().parent().unwrap())),
        (0o600, 0o600, 0o700)
    );
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = CodeCache::open(room.dir.path(), [0; 32]).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::remove_file(&key).unwrap();
    private_files::create_private_file(&key).unwrap().write_all(b"short").unwrap();
    assert!(CodeCache::open(room.dir.path(), [0; 32]).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn max_entries_obeyed_and_violated() {
    let room = CacheFixture::new();
    let cache = CodeCache { bounds: CacheBounds { entries: 3, ..DEFAULT_BOUNDS }, ..room.cache() };
    let [a, b, c] = [1, 2, 3].map(|name| put_small(&cache, name, 1));
    for (digest, seconds) in [(a, 30), (b, 20), (c, 10)] {
        set_age(&cache, &digest, seconds);
    }
    assert!(cache.get(&a).is_some(), "three fit; this one is now the most recently used");
    let d = put_small(&cache, 4, 1);
    assert_eq!(room.count(), 3);
    assert!(cache.get(&b).is_none(), "it was the least recently used");
    assert!([a, c, d].iter().all(|digest| cache.get(digest).is_some()));
}

#[test]
fn max_bytes_obeyed_and_violated() {
    let room = CacheFixture::new();
    let cache = CodeCache { bounds: CacheBounds { bytes: 10_000, ..DEFAULT_BOUNDS }, ..room.cache() };
    let [a, b] = [1, 2].map(|name| put_small(&cache, name, 4_000));
    set_age(&cache, &a, 20);
    set_age(&cache, &b, 10);
    assert_eq!(room.count(), 2, "both fit");
    let c = put_small(&cache, 3, 4_000);
    assert!(cache.get(&a).is_none());
    assert!([b, c].iter().all(|digest| cache.get(digest).is_some()));
    let large = put_small(&cache, 4, 10_000);
    assert!(cache.get(&large).is_none(), "an entry larger than the whole cache is not stored");
}
