use std::fs;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use redb::backends::FileBackend;
use redb::{BackendError, Builder, Database, StorageBackend};
use tempfile::TempDir;

use super::state::MAX_VALUE_BYTES;
use super::*;

const AMPLE_QUOTA: StateQuota = StateQuota { bytes: 1 << 20, keys: 1_000 };

fn set(store: &Store, slot: &str, key: &str, value: &[u8]) -> Result<u64, StateStoreError> {
    store.write_state((slot, AMPLE_QUOTA), key, Some(value.to_vec()), Precondition::Any)
}

fn open_error(dir: &TempDir) -> StoreOpenError {
    Store::open(dir.path()).map(|_| ()).unwrap_err()
}

fn store_path(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("barnabas.redb")
}

#[test]
fn records_outlive_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("made/as-well")).unwrap();
    assert_eq!(store.record::<u32>("serving", "a").unwrap(), None);
    store.put_record("serving", "b", &2).unwrap();
    store.put_record("serving", "a", &1).unwrap();
    store.put_record("refused", "a", &"why").unwrap();
    store.put_record("servings", "c", &3).unwrap();
    drop(store);
    let store = Store::open(&dir.path().join("made/as-well")).unwrap();
    assert_eq!(store.records("serving").unwrap(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    assert_eq!(store.record("refused", "a").unwrap(), Some("why".to_owned()));
    store.remove_record("serving", "a").unwrap();
    store.remove_record("serving", "never").unwrap();
    assert_eq!(store.records("serving").unwrap(), [("b".to_owned(), 2)]);
    let error = store.record::<u32>("refused", "a").unwrap_err().to_string();
    assert!(error.contains("record refused/a"), "{error}");
}

#[test]
fn record_size_obeyed_and_violated() {
    let store = Store::in_memory();
    store.put_record("k", "n", &"x".repeat(MAX_RECORD_BYTES - 2)).unwrap();
    let error = store.put_record("k", "n", &"x".repeat(MAX_RECORD_BYTES)).unwrap_err().to_string();
    assert!(error.contains("k/n has 1048578 bytes; the limit is 1048576"), "{error}");
    assert_eq!(store.record::<String>("k", "n").unwrap().map(|kept| kept.len()), Some(MAX_RECORD_BYTES - 2));
}

#[test]
fn the_file_is_private_and_locked() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(fs::metadata(store_path(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
    let error = open_error(&dir);
    assert!(matches!(error, StoreOpenError::Locked(_)), "{error}");
    assert!(error.to_string().contains("another host uses this data directory"), "{error}");
    let other = store.clone();
    drop(store);
    assert!(matches!(open_error(&dir), StoreOpenError::Locked(_)), "one handle is left");
    drop(other);
    Store::open(dir.path()).unwrap();
}

/// What a kill leaves behind is what the file holds at that moment.
#[test]
fn acknowledged_writes_survive_a_kill() {
    let (dir, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(dir.path()).unwrap();
    for n in 0..20_u32 {
        store.put_record("kind", "last", &n).unwrap();
        let version = set(&store, "slot", "key", &n.to_be_bytes()).unwrap();
        fs::copy(store_path(&dir), store_path(&after)).unwrap();
        let survivor = Store::open(after.path()).unwrap();
        assert_eq!(survivor.record("kind", "last").unwrap(), Some(n));
        let entry = StateEntry { value: n.to_be_bytes().to_vec(), version };
        assert_eq!(survivor.get_state("slot", "key").unwrap(), Some(entry));
        assert_eq!(survivor.state_usage("slot"), StateUsage { bytes: 7, keys: 1 });
    }
}

#[test]
fn a_newer_format_is_refused_and_left_untouched() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let database = Database::open(store_path(&dir)).unwrap();
    let change = database.begin_write().unwrap();
    change.open_table(file::FORMAT).unwrap().insert("version", file::SUPPORTED_FORMAT + 1).unwrap();
    change.commit().unwrap();
    let killed = fs::read(store_path(&dir)).unwrap();
    drop(database);
    let before = fs::read(store_path(&dir)).unwrap();
    let error = open_error(&dir);
    assert!(matches!(error, StoreOpenError::Newer { found: 2, supported: 1, .. }), "{error}");
    assert!(error.to_string().contains("newer release (format 2, this release supports up to 1); start that release"));
    assert_eq!(fs::read(store_path(&dir)).unwrap(), before, "not a byte");
    fs::write(store_path(&dir), killed).unwrap();
    assert!(matches!(open_error(&dir), StoreOpenError::Newer { .. }), "also where it was not closed");
}

#[test]
fn damage_is_reported_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for n in 0..200 {
        set(&store, "slot", &format!("key {n}"), &[7; 300]).unwrap();
    }
    drop(store);
    let sound = fs::read(store_path(&dir)).unwrap();
    let flipped: Vec<u8> = sound.iter().enumerate().map(|(at, byte)| if at < 4096 { *byte } else { !byte }).collect();
    for damaged in [b"not a database".to_vec(), sound[..sound.len() / 2].to_vec(), sound[..100].to_vec(), flipped] {
        fs::write(store_path(&dir), &damaged).unwrap();
        let error = open_error(&dir);
        assert!(matches!(error, StoreOpenError::Damaged(..)), "{error}");
        assert!(!error.to_string().contains('\n') && error.to_string().contains("restore a backup"), "{error}");
    }
    fs::remove_file(store_path(&dir)).unwrap();
    let foreign = Database::create(store_path(&dir)).unwrap();
    let change = foreign.begin_write().unwrap();
    change.open_table(redb::TableDefinition::<u64, u64>::new("else")).unwrap();
    change.commit().unwrap();
    drop(foreign);
    assert!(matches!(open_error(&dir), StoreOpenError::Damaged(..)), "a database of another program");
}

#[test]
fn an_unwritable_directory_is_an_io_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = Store::open(&dir.path().join("file/under")).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreOpenError::Io(..)), "{error}");
    let error = Store::open(&dir.path().join("file")).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("file is not a directory, but a file") && error.contains("`data-dir`"), "{error}");
}

#[test]
fn versions_never_repeat() {
    let store = Store::in_memory();
    let change = |value: Option<&[u8]>, expected| {
        store.write_state(("slot", AMPLE_QUOTA), "key", value.map(<[u8]>::to_vec), expected)
    };
    let first = change(Some(b"a"), Precondition::Absent).unwrap();
    let there = Some(StateEntry { value: b"a".to_vec(), version: first });
    assert_eq!(change(Some(b"b"), Precondition::Absent), Err(StateStoreError::Conflict(there)));
    let second = change(Some(b"b"), Precondition::Version(first)).unwrap();
    assert!(matches!(change(Some(b"c"), Precondition::Version(first)), Err(StateStoreError::Conflict(Some(_)))));
    assert!(matches!(change(None, Precondition::Version(first)), Err(StateStoreError::Conflict(Some(_)))));
    change(None, Precondition::Version(second)).unwrap();
    assert_eq!(change(Some(b"c"), Precondition::Version(second)), Err(StateStoreError::Conflict(None)));
    let third = change(Some(b"a"), Precondition::Absent).unwrap();
    store.delete_state("slot").unwrap();
    assert_eq!(store.get_state("slot", "key").unwrap(), None);
    let fourth = change(Some(b"a"), Precondition::Absent).unwrap();
    assert!(first < second && second < third && third < fourth);
}

#[test]
fn slots_do_not_see_each_other() {
    let store = Store::in_memory();
    for (slot, key) in [("a", "x/1"), ("a", "x/2"), ("a", "y"), ("a\0", "x/3"), ("aa", "x/4"), ("b", "x/5")] {
        set(&store, slot, key, b"value").unwrap();
    }
    let keys = |after, limit| store.list_state_keys("a", "x/", after, limit).unwrap();
    assert_eq!(keys(None, 10), ["x/1", "x/2"]);
    assert_eq!((keys(None, 1), keys(Some("x/1"), 10)), (vec!["x/1".to_owned()], vec!["x/2".to_owned()]));
    assert_eq!((keys(Some("a"), 10).len(), keys(Some("x/2"), 10).len(), keys(Some("z"), 10).len()), (2, 0, 0));
    assert_eq!(store.state_usage("a"), StateUsage { bytes: 22, keys: 3 });
    store.delete_state("a").unwrap();
    assert_eq!((store.state_usage("a"), keys(None, 10).len()), (StateUsage::default(), 0));
    for (slot, key) in [("a\0", "x/3"), ("aa", "x/4"), ("b", "x/5")] {
        assert!(store.get_state(slot, key).unwrap().is_some(), "{slot:?}");
    }
}

#[test]
fn quota_obeyed() {
    let store = Store::in_memory();
    let caps = StateQuota { bytes: 10, keys: 2 };
    let change = |key: &str, value: Option<&[u8]>| {
        store.write_state(("slot", caps), key, value.map(<[u8]>::to_vec), Precondition::Any)
    };
    change("a", Some(b"1234")).unwrap();
    change("b", Some(b"1234")).unwrap();
    change("b", Some(b"4321")).unwrap();
    change("a", None).unwrap();
    change("c", Some(b"1234")).unwrap();
    change("never", None).unwrap();
    assert_eq!(store.state_usage("slot"), StateUsage { bytes: 10, keys: 2 });
    set(&store, "other", &"k".repeat(512), &vec![0; MAX_VALUE_BYTES]).unwrap();
}

#[test]
fn quota_violated() {
    let store = Store::in_memory();
    let change = |caps, key: &str, size: usize| {
        let refused = store.write_state(("slot", caps), key, Some(vec![0; size]), Precondition::Any);
        refused.map(|_| String::new()).unwrap_or_else(|refusal| match refusal {
            StateStoreError::QuotaExceeded(words) | StateStoreError::InvalidKey(words) => words,
            other => panic!("{other:?}"),
        })
    };
    let caps = StateQuota { bytes: 10, keys: 2 };
    assert_eq!(change(caps, "a", 10), "11 bytes of keys and values exceed the limit of 10");
    assert_eq!((change(caps, "a", 1), change(caps, "b", 1)), (String::new(), String::new()));
    assert_eq!(change(caps, "c", 0), "3 keys exceed the limit of 2");
    assert_eq!(change(AMPLE_QUOTA, "c", MAX_VALUE_BYTES + 1), "262145 bytes in one value exceed the limit of 262144");
    assert_eq!(change(AMPLE_QUOTA, "", 1), "the key is empty; it must have at least one byte");
    assert_eq!(change(AMPLE_QUOTA, &"k".repeat(513), 1), "the key has 513 bytes; the limit is 512");
    let lowered = StateQuota { bytes: 1, keys: 1 };
    assert_eq!(change(lowered, "a", 0), "", "what is beyond a lowered cap may shrink");
    assert!(change(lowered, "a", 1).contains("exceed the limit of 1"), "and not grow");
    assert_eq!(store.state_usage("slot"), StateUsage { bytes: 3, keys: 2 });
}

#[test]
fn concurrent_writes_are_not_lost_and_no_quota_is_exceeded() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let (barrier, full) = (Barrier::new(8), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, all_there, full) = (&store, &barrier, &full);
            scope.spawn(move || {
                all_there.wait();
                for round in 0..25 {
                    count(store);
                    let own = format!("own {thread} {round}");
                    let caps = StateQuota { bytes: 1 << 20, keys: 100 };
                    match store.write_state(("capped", caps), &own, Some(Vec::new()), Precondition::Absent) {
                        Ok(_) => {}
                        Err(StateStoreError::QuotaExceeded(_)) => _ = full.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    let total = store.get_state("slot", "total").unwrap().unwrap().value;
    assert_eq!(u64::from_be_bytes(total.try_into().unwrap()), 200);
    assert_eq!((store.state_usage("capped").keys, full.into_inner()), (100, 100));
    let books = store.database.counters("slot");
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().database.counters("slot"), books, "as the file has it");
}

fn count(store: &Store) {
    loop {
        let there = store.get_state("slot", "total").unwrap();
        let old = there.as_ref().map_or(0, |entry| u64::from_be_bytes(entry.value.clone().try_into().unwrap()));
        let expected = there.map_or(Precondition::Absent, |entry| Precondition::Version(entry.version));
        let new = Some((old + 1).to_be_bytes().to_vec());
        match store.write_state(("slot", AMPLE_QUOTA), "total", new, expected) {
            Ok(_) => return,
            Err(StateStoreError::Conflict(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A disk with so much room in all.
#[derive(Debug)]
struct LimitedDisk {
    file: FileBackend,
    capacity: Arc<AtomicU64>,
}

impl LimitedDisk {
    fn check_capacity(&self, to: u64) -> io::Result<()> {
        if to > self.capacity.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for LimitedDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_capacity(len)?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_capacity(offset + data.len() as u64)?;
        self.file.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// A store on a disk whose room can be changed.
fn store_on_disk(dir: &TempDir) -> (Store, Arc<AtomicU64>) {
    let room = Arc::new(AtomicU64::new(u64::MAX));
    (try_store_on_disk(dir, &room).unwrap(), room)
}

/// The same with so much room from the start.
fn try_store_on_disk(dir: &TempDir, room: &Arc<AtomicU64>) -> Result<Store, StoreOpenError> {
    let path = store_path(dir);
    let (opened, left) = (path.clone(), room.clone());
    let source = move || {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&opened)?;
        let disk = LimitedDisk { file: FileBackend::new(file)?, capacity: left.clone() };
        Ok(Builder::new().create_with_backend(disk)?)
    };
    let base = Arc::new(file::open_with(&path, Box::new(source))?);
    Ok(Store { writer: Arc::new(StoreWriter::new(base.clone())), database: base })
}

#[test]
fn a_disk_that_is_full_at_start_is_not_reported_as_damage() {
    let dir = tempfile::tempdir().unwrap();
    let error = try_store_on_disk(&dir, &Arc::new(AtomicU64::new(0))).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreOpenError::Io(..)), "{error}");
    let message = error.to_string();
    assert!(
        message.contains("barnabas.redb: cannot open the store") && message.contains("free disk space"),
        "{message}"
    );
    try_store_on_disk(&dir, &Arc::new(AtomicU64::new(u64::MAX))).unwrap();
}

#[test]
fn a_full_disk_is_reported_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, room) = store_on_disk(&dir);
    for round in 0..3 {
        let version = set(&store, "slot", "kept", b"before").unwrap();
        room.store(0, Ordering::Relaxed);
        let error = store.put_record("kind", "name", &"late").unwrap_err().to_string();
        assert!(error.contains("the disk is full, free some space"), "round {round}: {error}");
        assert!(matches!(set(&store, "slot", "kept", b"late"), Err(StateStoreError::Unavailable(_))));
        room.store(u64::MAX, Ordering::Relaxed);
        let kept = StateEntry { value: b"before".to_vec(), version };
        assert_eq!(store.get_state("slot", "kept").unwrap(), Some(kept), "and it works again by itself");
        assert_eq!(store.record::<String>("kind", "name").unwrap(), None);
    }
    assert_eq!(store.state_usage("slot"), StateUsage { bytes: 10, keys: 1 });
}

#[test]
fn reads_succeed_while_the_disk_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let (store, room) = store_on_disk(&dir);
    set(&store, "slot", "kept", b"before").unwrap();
    room.store(fs::metadata(store_path(&dir)).unwrap().len(), Ordering::Relaxed);
    let large = "x".repeat(MAX_RECORD_BYTES - 2);
    let put = |n: u32| store.put_record("kind", &n.to_string(), &large);
    let kept = (0..100).take_while(|n| put(*n).is_ok()).count();
    assert!(kept < 100, "it does not fit");
    for _ in 0..3 {
        assert_eq!(store.get_state("slot", "kept").unwrap().unwrap().value, b"before");
        assert_eq!(store.records::<String>("kind").unwrap().len(), kept);
        assert!(put(100).is_err());
    }
}
