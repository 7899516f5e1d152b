use std::process::Command;
use std::{env, fs};

use super::*;
use barnabas_base::private_files;

/// A time at which every grace period is over.
fn after_grace() -> SystemTime {
    SystemTime::now() + private_files::GRACE_PERIOD * 2
}

fn file_names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("artifacts")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn artifact_path(dir: &Path, digest: &Digest) -> std::path::PathBuf {
    dir.join("artifacts").join(format!("{}.wasm", digest.hex()))
}

#[test]
fn artifacts_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(dir.path()).unwrap();
    let digest = store.put(b"one").unwrap();
    assert_eq!(store.put(b"one").unwrap(), digest);
    assert_eq!(
        file_names(dir.path()),
        [format!("{}.wasm", digest.hex()), "format".into()],
        "once, and nothing beside it"
    );
    let next = ArtifactStore::open(dir.path()).unwrap();
    assert!(next.contains(&digest));
    assert_eq!(next.get(&digest).unwrap().as_deref(), Some(b"one".as_slice()));
    assert_eq!(next.get(&Digest::compute(b"two")), Ok(None));
}

#[test]
fn the_directory_and_the_artifacts_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let digest = ArtifactStore::open(dir.path()).unwrap().put(b"one").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir.path().join("artifacts")), mode(&artifact_path(dir.path(), &digest))), (0o700, 0o600));
}

#[test]
fn a_damaged_artifact_is_absent_and_can_be_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(dir.path()).unwrap();
    let digest = store.put(b"one").unwrap();
    for damage in [b"ONE".as_slice(), b"on", b""] {
        fs::write(artifact_path(dir.path(), &digest), damage).unwrap();
        assert_eq!(store.get(&digest), Ok(None), "{damage:?}");
        assert!(!store.contains(&digest), "it was removed");
        store.put(b"one").unwrap();
        assert_eq!(store.get(&digest).unwrap().as_deref(), Some(b"one".as_slice()));
    }
    fs::write(artifact_path(dir.path(), &digest), b"on").unwrap();
    store.put(b"one").unwrap();
    assert!(store.get(&digest).unwrap().is_some(), "a truncated artifact is rewritten when it is stored again");
}

#[test]
fn unreferenced_artifacts_are_removed_after_the_grace_period() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [ArtifactStore::open(dir.path()).unwrap(), ArtifactStore::in_memory()];
    for store in stores {
        let (wanted, unwanted) = (store.put(b"wanted").unwrap(), store.put(b"unwanted").unwrap());
        let all = BTreeSet::from([wanted]);
        store.prune(&all);
        assert!(store.contains(&wanted) && store.contains(&unwanted), "it may just have been uploaded");
        store.prune_at(&all, after_grace());
        assert!(store.contains(&wanted) && !store.contains(&unwanted));
    }
}

#[test]
fn storing_an_artifact_again_restarts_its_grace_period() {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(dir.path()).unwrap();
    let digest = store.put(b"one").unwrap();
    let long_ago = SystemTime::now() - private_files::GRACE_PERIOD * 2;
    fs::File::open(artifact_path(dir.path(), &digest)).unwrap().set_modified(long_ago).unwrap();
    store.put(b"one").unwrap();
    store.prune(&BTreeSet::new());
    assert!(store.contains(&digest));
}

#[test]
fn leftover_temporary_files_are_removed_and_foreign_files_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(dir.path()).unwrap();
    let left = private_files::temporary_path(&artifact_path(dir.path(), &Digest::compute(b"one")));
    fs::write(&left, b"on").unwrap();
    fs::write(dir.path().join("artifacts/notes.wasm"), b"mine").unwrap();
    store.prune(&BTreeSet::new());
    assert!(left.exists(), "it may belong to a writer");
    store.prune_at(&BTreeSet::new(), after_grace());
    assert_eq!(file_names(dir.path()), ["format", "notes.wasm"]);
}

#[test]
fn another_format_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    ArtifactStore::open(dir.path()).unwrap();
    let format = dir.path().join("artifacts/format");
    assert_eq!(fs::read_to_string(&format).unwrap(), "1\n");
    fs::write(&format, "2\n").unwrap();
    let newer = ArtifactStore::open(dir.path()).err().unwrap();
    assert!(newer.contains("format 2, which a newer release wrote"), "{newer}");
    for damaged in ["", "0", "one"] {
        fs::write(&format, damaged).unwrap();
        assert!(ArtifactStore::open(dir.path()).err().unwrap().contains("damaged: write `1` into it"), "{damaged:?}");
    }
}

#[test]
fn an_unusable_directory_is_refused_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("artifacts"), b"a file").unwrap();
    let message = ArtifactStore::open(dir.path()).err().unwrap();
    assert!(
        message.contains("artifacts: cannot store artifacts") && message.contains("another `data-dir`"),
        "{message}"
    );
}

/// Runs itself again under a limit on file sizes, which looks like a full disk to a writer.
#[test]
fn a_full_disk_is_reported_and_nothing_is_left_behind() {
    const AGAIN: &str = "BARNABAS_TEST_SMALL_FILES";
    let Some(dir) = env::var_os(AGAIN) else {
        let dir = tempfile::tempdir().unwrap();
        ArtifactStore::open(dir.path()).unwrap();
        let name = "artifact_store::tests::a_full_disk_is_reported_and_nothing_is_left_behind";
        // Without the trap, the signal that goes with the limit would end the process.
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" --exact \"$1\" --nocapture";
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).arg(env::current_exe().unwrap()).arg(name).env(AGAIN, dir.path());
        let output = shell.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
        return;
    };
    let store = ArtifactStore::open(Path::new(&dir)).unwrap();
    let message = store.put(&vec![0; 1 << 20]).unwrap_err();
    assert!(message.contains("1048576 bytes cannot be stored in") && message.contains("free disk space"), "{message}");
    assert_eq!(file_names(Path::new(&dir)), ["format"]);
    store.put(&[0; 64]).unwrap();
}

#[test]
fn size_obeyed_and_violated() {
    let store = ArtifactStore::in_memory();
    store.put(&vec![0; MAX_ARTIFACT_BYTES]).unwrap();
    let message = store.put(&vec![0; MAX_ARTIFACT_BYTES + 1]).unwrap_err();
    assert!(message.contains("the limit for an artifact is"), "{message}");
}

#[test]
fn memory_is_bounded_and_the_oldest_go_first() {
    let store = ArtifactStore(ArtifactBackend::Memory(MemoryArtifacts::with_max_bytes(10)));
    let [a, b] = [b"aaaa", b"bbbb"].map(|bytes| store.put(bytes).unwrap());
    assert!(store.contains(&a) && store.contains(&b), "they fit");
    store.put(b"aaaa").unwrap();
    let c = store.put(b"cccc").unwrap();
    assert!(!store.contains(&b), "it was the oldest");
    assert_eq!([a, c].map(|digest| store.get(&digest).unwrap().unwrap()), [b"aaaa", b"cccc"]);
    let large = store.put(&[0; 11]).unwrap();
    assert!(
        store.contains(&large) && !store.contains(&a) && !store.contains(&c),
        "the newest is available even if it exceeds the limit"
    );
}
