use super::super::engine::Engines;
use super::*;

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

struct Room {
    dir: tempfile::TempDir,
    engines: Engines,
}

impl Room {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), engines: Engines::new().unwrap() }
    }

    fn cache(&self) -> Cache {
        Cache::open(self.dir.path(), self.engines.fingerprint()).unwrap()
    }

    /// Asks for the empty component; tells whether that compiled it, and that its code loads into both engines.
    fn ask(&self, cache: &Cache) -> bool {
        let mut compiled = false;
        let compile = || {
            compiled = true;
            Code::compile(&self.engines.on_demand, EMPTY).map_err(|e| e.to_string())
        };
        let code = cache.get_or(EMPTY, compile).unwrap();
        code.load(&self.engines.on_demand).unwrap();
        code.load(self.engines.pooling.as_ref().unwrap()).unwrap();
        compiled
    }

    fn entry(&self) -> PathBuf {
        self.cache().path(Digest::of(EMPTY))
    }
}

#[test]
fn code_is_compiled_once_and_found_by_the_next_host() {
    let room = Room::new();
    assert!(room.ask(&room.cache()));
    assert!(!room.ask(&room.cache()));
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    let room = Room::new();
    room.ask(&room.cache());
    let good = fs::read(room.entry()).unwrap();
    for at in [0, 11, 12, 43, 44, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(room.entry(), bad).unwrap();
        assert!(room.ask(&room.cache()), "byte {at} was changed and nobody noticed");
        assert_eq!(fs::read(room.entry()).unwrap().len(), good.len(), "it was written again");
    }
    for length in [0, 12, 44, good.len() - 1] {
        fs::write(room.entry(), &good[..length]).unwrap();
        assert!(room.ask(&room.cache()), "cut to {length} bytes and nobody noticed");
    }
}

#[test]
fn an_entry_of_another_host_or_name_is_not_used() {
    let (room, other) = (Room::new(), Room::new());
    other.ask(&other.cache());
    fs::create_dir_all(room.dir.path().join("code")).unwrap();
    fs::copy(other.entry(), room.entry()).unwrap();
    assert!(room.ask(&room.cache()), "signed with another key");
    let cache = room.cache();
    let elsewhere = cache.path(Digest::of(b"another component"));
    fs::copy(room.entry(), &elsewhere).unwrap();
    assert!(cache.read(&elsewhere).is_none(), "signed under another name");
    assert!(!elsewhere.exists());
}

#[test]
fn a_directory_that_takes_nothing_costs_only_time() {
    let room = Room::new();
    let cache = room.cache();
    fs::remove_dir_all(room.dir.path().join("code")).unwrap();
    assert!(room.ask(&cache));
    assert!(room.ask(&cache));
}

#[test]
fn the_key_is_private_or_refused() {
    let room = Room::new();
    room.cache();
    let key = room.dir.path().join("host.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = Cache::open(room.dir.path(), [0; 32]).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
    fs::remove_file(&key).unwrap();
    private(&key).unwrap().write_all(b"short").unwrap();
    assert!(Cache::open(room.dir.path(), [0; 32]).unwrap_err().to_string().contains("damaged"));
}

#[test]
fn old_entries_go_first() {
    let room = Room::new();
    let cache = room.cache();
    for n in 0..ENTRIES + 3 {
        cache.write(&cache.path(Digest::of(&[n as u8])), &Code(vec![0])).unwrap();
    }
    assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), ENTRIES);
}
