use std::process::Command;
use std::{env, fs};

use super::*;
use crate::plugin::files;

/// Long enough that the hour of everything is over.
fn later() -> SystemTime {
    SystemTime::now() + files::GRACE * 2
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("artifacts")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn file(dir: &Path, digest: &Digest) -> std::path::PathBuf {
    dir.join("artifacts").join(format!("{}.wasm", digest.hex()))
}

#[test]
fn what_was_kept_is_there_for_the_next_host() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    let digest = depot.keep(b"one").unwrap();
    assert_eq!(depot.keep(b"one").unwrap(), digest);
    assert_eq!(names(dir.path()), [format!("{}.wasm", digest.hex()), "format".into()], "once, and nothing beside it");
    let next = Depot::open(dir.path()).unwrap();
    assert!(next.has(&digest));
    assert_eq!(next.get(&digest).unwrap().as_deref(), Some(b"one".as_slice()));
    assert_eq!(next.get(&Digest::of(b"two")), Ok(None));
}

#[test]
fn only_we_may_look_into_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let digest = Depot::open(dir.path()).unwrap().keep(b"one").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path().join("artifacts")), mode(&file(dir.path(), &digest))), (0o700, 0o600));
}

#[test]
fn a_damaged_artifact_is_absent_and_can_be_kept_again() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    let digest = depot.keep(b"one").unwrap();
    for damage in [b"ONE".as_slice(), b"on", b""] {
        fs::write(file(dir.path(), &digest), damage).unwrap();
        assert_eq!(depot.get(&digest), Ok(None), "{damage:?}");
        assert!(!depot.has(&digest), "it was removed");
        depot.keep(b"one").unwrap();
        assert_eq!(depot.get(&digest).unwrap().as_deref(), Some(b"one".as_slice()));
    }
    fs::write(file(dir.path(), &digest), b"on").unwrap();
    depot.keep(b"one").unwrap();
    assert!(depot.get(&digest).unwrap().is_some(), "one that was cut is written anew without being asked for");
}

#[test]
fn the_unwanted_go_after_their_hour() {
    let dir = tempfile::tempdir().unwrap();
    let depots = [Depot::open(dir.path()).unwrap(), Depot::in_memory()];
    for depot in depots {
        let (wanted, unwanted) = (depot.keep(b"wanted").unwrap(), depot.keep(b"unwanted").unwrap());
        let all = BTreeSet::from([wanted]);
        depot.prune(&all);
        assert!(depot.has(&wanted) && depot.has(&unwanted), "somebody may have handed it over a moment ago");
        depot.prune_at(&all, later());
        assert!(depot.has(&wanted) && !depot.has(&unwanted));
    }
}

#[test]
fn what_is_kept_again_has_another_hour() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    let digest = depot.keep(b"one").unwrap();
    let long_ago = SystemTime::now() - files::GRACE * 2;
    fs::File::open(file(dir.path(), &digest)).unwrap().set_modified(long_ago).unwrap();
    depot.keep(b"one").unwrap();
    depot.prune(&BTreeSet::new());
    assert!(depot.has(&digest));
}

#[test]
fn leftovers_of_writers_go_after_their_hour_and_what_is_not_ours_stays() {
    let dir = tempfile::tempdir().unwrap();
    let depot = Depot::open(dir.path()).unwrap();
    let left = files::temporary(&file(dir.path(), &Digest::of(b"one")));
    fs::write(&left, b"on").unwrap();
    fs::write(dir.path().join("artifacts/notes.wasm"), b"mine").unwrap();
    depot.prune(&BTreeSet::new());
    assert!(left.exists(), "it may be being written");
    depot.prune_at(&BTreeSet::new(), later());
    assert_eq!(names(dir.path()), ["format", "notes.wasm"]);
}

#[test]
fn another_format_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    Depot::open(dir.path()).unwrap();
    let format = dir.path().join("artifacts/format");
    assert_eq!(fs::read_to_string(&format).unwrap(), "1\n");
    fs::write(&format, "2\n").unwrap();
    let newer = Depot::open(dir.path()).err().unwrap();
    assert!(newer.contains("format 2, which a newer barnabas wrote"), "{newer}");
    for damaged in ["", "0", "one"] {
        fs::write(&format, damaged).unwrap();
        assert!(Depot::open(dir.path()).err().unwrap().contains("damaged: write `1` into it"), "{damaged:?}");
    }
}

#[test]
fn a_place_that_cannot_be_used_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("artifacts"), b"a file").unwrap();
    let said = Depot::open(dir.path()).err().unwrap();
    assert!(said.contains("artifacts: artifacts cannot be kept") && said.contains("another `data-dir`"), "{said}");
}

/// Runs itself again under a limit on the size of files, which is what a full disk looks like to a writer.
#[test]
fn a_full_disk_is_said_in_words_and_nothing_is_left_behind() {
    const AGAIN: &str = "BARNABAS_TEST_SMALL_FILES";
    let Some(dir) = env::var_os(AGAIN) else {
        let dir = tempfile::tempdir().unwrap();
        Depot::open(dir.path()).unwrap();
        let name = "plugin::depot::tests::a_full_disk_is_said_in_words_and_nothing_is_left_behind";
        // Without the trap, the signal that goes with the limit would end the process.
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact \"$1\" --nocapture";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(env::current_exe().unwrap()).arg(name).env(AGAIN, dir.path());
        let output = shell.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
        return;
    };
    let depot = Depot::open(Path::new(&dir)).unwrap();
    let said = depot.keep(&vec![0; 1 << 20]).unwrap_err();
    assert!(said.contains("1048576 bytes cannot be kept in") && said.contains("make room there"), "{said}");
    assert_eq!(names(Path::new(&dir)), ["format"]);
    depot.keep(&[0; 64]).unwrap();
}

#[test]
fn size_obeyed_and_violated() {
    let depot = Depot::in_memory();
    depot.keep(&vec![0; MAX_BYTES]).unwrap();
    let said = depot.keep(&vec![0; MAX_BYTES + 1]).unwrap_err();
    assert!(said.contains("an artifact may have"), "{said}");
}

#[test]
fn memory_is_bounded_and_the_oldest_go_first() {
    let depot = Depot(Place::Memory(Memory::of(10)));
    let [a, b] = [b"aaaa", b"bbbb"].map(|bytes| depot.keep(bytes).unwrap());
    assert!(depot.has(&a) && depot.has(&b), "they fit");
    depot.keep(b"aaaa").unwrap();
    let c = depot.keep(b"cccc").unwrap();
    assert!(!depot.has(&b), "it was kept longest ago");
    assert_eq!([a, c].map(|digest| depot.get(&digest).unwrap().unwrap()), [b"aaaa", b"cccc"]);
    let large = depot.keep(&[0; 11]).unwrap();
    assert!(depot.has(&large) && !depot.has(&a) && !depot.has(&c), "the newest is there to be used");
}
