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
    let fixture = CacheFixture::new();
    let cache = fixture.cache();
    assert!(cache.get(&fixture.digest()).is_none());
    let (inspection, code) = fixture.put(&cache);
    let (found, found_code) = fixture.cache().get(&fixture.digest()).unwrap();
    assert_eq!(found, inspection);
    assert_eq!(found_code.bytes(), code.bytes());
    found_code.load(&ENGINES.on_demand).unwrap();
    found_code.load(ENGINES.pooling.as_ref().unwrap()).unwrap();
}

#[test]
fn a_damaged_entry_is_removed() {
    let fixture = CacheFixture::new();
    let cache = fixture.cache();
    fixture.put(&cache);
    let good = fs::read(fixture.entry_path()).unwrap();
    for at in [0, 11, 12, 43, 44, 47, 48, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(fixture.entry_path(), bad).unwrap();
        assert!(cache.get(&fixture.digest()).is_none(), "the change of byte {at} was not noticed");
        assert_eq!(fixture.count(), 0, "it was removed");
    }
    for length in [0, 12, 44, 48, good.len() - 1] {
        fs::write(cache.path(&fixture.digest()), &good[..length]).unwrap();
        assert!(cache.get(&fixture.digest()).is_none(), "truncation to {length} bytes was not noticed");
    }
    fs::write(cache.path(&fixture.digest()), good).unwrap();
    assert!(cache.get(&fixture.digest()).is_some());
}

#[test]
fn an_entry_with_another_key_name_or_engine_is_not_used() {
    let (fixture, other) = (CacheFixture::new(), CacheFixture::new());
    other.put(&other.cache());
    let cache = fixture.cache();
    fs::copy(other.entry_path(), cache.path(&fixture.digest())).unwrap();
    assert!(cache.get(&fixture.digest()).is_none(), "signed with another key");
    fixture.put(&cache);
    let elsewhere = Digest::compute(b"another artifact");
    fs::copy(fixture.entry_path(), cache.path(&elsewhere)).unwrap();
    assert!(cache.get(&elsewhere).is_none(), "signed under another name");
    let upgraded = CodeCache::open(fixture.dir.path(), [7; 32]).unwrap();
    fs::copy(fixture.entry_path(), upgraded.path(&fixture.digest())).unwrap();
    assert!(upgraded.get(&fixture.digest()).is_none(), "compiled by another engine");
    assert!(cache.get(&fixture.digest()).is_some());
}

#[test]
fn other_formats_are_removed_when_it_is_opened() {
    let fixture = CacheFixture::new();
    let cache = fixture.cache();
    fixture.put(&cache);
    let dir = fixture.dir.path().join("code");
    for (name, bytes) in
        [("a.code", b"barnabas\0\0\0\x01 of old".as_slice()), ("b.code", b"barnabas\0\0\0\x03"), ("c", b"")]
    {
        fs::write(dir.join(name), bytes).unwrap();
    }
    let left = private_files::temporary_path(&dir.join("d.code"));
    fs::write(&left, b"half").unwrap();
    let cache = fixture.cache();
    assert_eq!(fixture.count(), 2, "the entry, and the temporary file of a possible writer");
    remove_foreign_files(&dir, SystemTime::now() + private_files::GRACE_PERIOD * 2).unwrap();
    assert!(!left.exists());
    assert!(cache.get(&fixture.digest()).is_some());
}

#[test]
fn an_unusable_directory_only_disables_caching() {
    let fixture = CacheFixture::new();
    let cache = fixture.cache();
    fs::remove_dir_all(fixture.dir.path().join("code")).unwrap();
    fixture.put(&cache);
    assert!(cache.get(&fixture.digest()).is_none());
}

#[test]
fn the_key_and_the_entries_are_private() {
    let fixture = CacheFixture::new();
    fixture.put(&fixture.cache());
    let key = fixture.dir.path().join("host.key");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&key), mode(&fixture.entry_path()), mode(fixture.entry_path().parent().unwrap())),
        (0o600, 0o600, 0o700)
    );
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = CodeCache::open(fixture.dir.path(), [0; 32]).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::remove_file(&key).unwrap();
    private_files::create_private_file(&key).unwrap().write_all(b"short").unwrap();
    assert!(CodeCache::open(fixture.dir.path(), [0; 32]).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn max_entries_obeyed_and_violated() {
    let fixture = CacheFixture::new();
    let cache = CodeCache { bounds: CacheBounds { entries: 3, ..DEFAULT_BOUNDS }, ..fixture.cache() };
    let [a, b, c] = [1, 2, 3].map(|name| put_small(&cache, name, 1));
    for (digest, seconds) in [(a, 30), (b, 20), (c, 10)] {
        set_age(&cache, &digest, seconds);
    }
    assert!(cache.get(&a).is_some(), "three fit; this one is now the most recently used");
    let d = put_small(&cache, 4, 1);
    assert_eq!(fixture.count(), 3);
    assert!(cache.get(&b).is_none(), "it was the least recently used");
    assert!([a, c, d].iter().all(|digest| cache.get(digest).is_some()));
}

#[test]
fn max_bytes_obeyed_and_violated() {
    let fixture = CacheFixture::new();
    let cache = CodeCache { bounds: CacheBounds { bytes: 10_000, ..DEFAULT_BOUNDS }, ..fixture.cache() };
    let [a, b] = [1, 2].map(|name| put_small(&cache, name, 4_000));
    set_age(&cache, &a, 20);
    set_age(&cache, &b, 10);
    assert_eq!(fixture.count(), 2, "both fit");
    let c = put_small(&cache, 3, 4_000);
    assert!(cache.get(&a).is_none());
    assert!([b, c].iter().all(|digest| cache.get(digest).is_some()));
    let large = put_small(&cache, 4, 10_000);
    assert!(cache.get(&large).is_none(), "an entry larger than the whole cache is not stored");
}
