use std::time::Duration;

use super::*;
use crate::plugin::compiler::Child;
use crate::plugin::runtime::GuestRuntime;
use crate::plugin::testing::{ENGINES, Guest};

struct Room {
    dir: tempfile::TempDir,
    guests: GuestRuntime,
}

impl Room {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), guests: GuestRuntime::new(1).unwrap() }
    }

    fn open(&self, data_dir: bool, compiler: Compiler) -> Foundry {
        let data_dir = data_dir.then(|| self.dir.path().to_owned());
        Foundry::open(data_dir.as_deref(), compiler, ENGINES.clone(), self.guests.handle().clone()).unwrap()
    }

    fn foundry(&self) -> Foundry {
        self.open(true, Compiler::ThisProcess)
    }
}

/// Examined, then compiled.
async fn compiled(foundry: &Foundry, digest: Digest) -> Result<Compiled, Flaw> {
    foundry.compiled(foundry.examined(digest).await?).await
}

async fn flaw(foundry: &Foundry, digest: Digest) -> Flaw {
    compiled(foundry, digest).await.err().expect("it has a flaw")
}

#[tokio::test]
async fn fresh_and_cached_give_the_same() {
    let room = Room::new();
    let foundry = room.foundry();
    let digest = foundry.keep(&Guest::default().module()).unwrap();
    assert!(foundry.has(&digest));
    let fresh = compiled(&foundry, digest).await.unwrap();
    let cached = compiled(&room.foundry(), digest).await.unwrap();
    assert_eq!((fresh.cached, cached.cached), (false, true));
    assert_eq!(fresh.inspection, cached.inspection);
    assert_eq!(fresh.code.bytes(), cached.code.bytes());
    for compiled in [fresh, cached] {
        let artifact = foundry.link(&compiled).unwrap();
        assert_eq!(artifact.inspection.digest, digest);
        assert!(artifact.pooled.is_some());
    }
}

#[tokio::test]
async fn what_is_compiled_is_used_without_its_artifact() {
    let room = Room::new();
    let foundry = room.foundry();
    let digest = foundry.keep(&Guest::default().module()).unwrap();
    compiled(&foundry, digest).await.unwrap();
    std::fs::remove_dir_all(room.dir.path().join("artifacts")).unwrap();
    assert!(compiled(&room.foundry(), digest).await.unwrap().cached);
}

#[tokio::test]
async fn two_who_ask_at_once_compile_once() {
    let room = Room::new();
    let foundry = room.foundry();
    let digest = foundry.keep(&Guest::default().module()).unwrap();
    let (one, two) = tokio::join!(compiled(&foundry, digest), compiled(&foundry, digest));
    assert_eq!(usize::from(one.unwrap().cached) + usize::from(two.unwrap().cached), 1);
}

#[tokio::test]
async fn what_is_wrong_is_found_before_anything_is_compiled() {
    let room = Room::new();
    let foundry = room.foundry();
    let digest = foundry.keep(&Guest::default().module()).unwrap();
    let examined = foundry.examined(digest).await.unwrap();
    assert_eq!((examined.inspection.digest, examined.code.is_none()), (digest, true));
    let flaw = foundry.examined(foundry.keep(b"\0asm\x0d\0\x01\0").unwrap()).await.err().unwrap();
    assert_eq!(flaw.stage, FlawStage::Contract);
    assert_eq!(std::fs::read_dir(room.dir.path().join("code")).unwrap().count(), 0, "nothing was compiled");
    let compiled = foundry.compiled(examined).await.unwrap();
    assert!(!compiled.cached);
    // What is found compiled is not read again, nor looked for a second time.
    let examined = foundry.examined(digest).await.unwrap();
    assert!(examined.code.is_some() && foundry.compiled(examined).await.unwrap().cached);
}

#[tokio::test]
async fn a_host_without_a_disk_compiles_each_time() {
    let room = Room::new();
    let foundry = room.open(false, Compiler::ThisProcess);
    let digest = foundry.keep(&Guest::default().module()).unwrap();
    for _ in 0..2 {
        assert!(!compiled(&foundry, digest).await.unwrap().cached);
    }
    assert_eq!(std::fs::read_dir(room.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn flaws_name_their_stage() {
    let room = Room::new();
    let foundry = room.foundry();
    let absent = flaw(&foundry, Digest::of(b"absent")).await;
    assert_eq!(absent.stage, FlawStage::Fetch);
    assert!(absent.reason.contains("is kept here; hand it over again"), "{absent}");
    let cases: [(&[u8], FlawStage, &str); 4] = [
        (b"garbage", FlawStage::Contract, "not WebAssembly"),
        (b"\0asm\x01\0\0\0", FlawStage::Contract, "without WIT metadata"),
        (b"\0asm\x0d\0\x01\0\xff", FlawStage::Contract, "not a valid component"),
        (b"\0asm\x0d\0\x01\0", FlawStage::Contract, "not a receiver"),
    ];
    for (bytes, stage, words) in cases {
        let flaw = flaw(&foundry, foundry.keep(bytes).unwrap()).await;
        assert!(flaw.stage == stage && flaw.reason.contains(words), "{flaw:?}");
    }
    assert_eq!(std::fs::read_dir(room.dir.path().join("code")).unwrap().count(), 0, "flaws are not kept");
}

#[tokio::test]
async fn a_compiler_that_cannot_be_run_is_named() {
    let room = Room::new();
    let child = Child { program: "/nowhere/barnabas".into(), ..Child::this_program() };
    let foundry = room.open(true, Compiler::Child(child));
    let flaw = flaw(&foundry, foundry.keep(b"\0asm").unwrap()).await;
    assert_eq!(flaw.stage, FlawStage::Contract);
    assert!(flaw.reason.starts_with("`/nowhere/barnabas` cannot be run to read it: No such file"), "{flaw}");
}

#[tokio::test]
async fn the_unwanted_go() {
    let room = Room::new();
    let foundry = room.foundry();
    let digest = foundry.keep(b"one").unwrap();
    let file = room.dir.path().join("artifacts").join(format!("{}.wasm", digest.hex()));
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7_200);
    std::fs::File::open(file).unwrap().set_modified(long_ago).unwrap();
    foundry.prune(&BTreeSet::from([digest]));
    assert!(foundry.has(&digest));
    foundry.prune(&BTreeSet::new());
    assert!(!foundry.has(&digest));
}

#[tokio::test]
async fn artifacts_of_a_newer_release_stop_the_host_in_words() {
    let room = Room::new();
    drop(room.foundry());
    std::fs::write(room.dir.path().join("artifacts/format"), "9").unwrap();
    let said = Foundry::open(Some(room.dir.path()), Compiler::default(), ENGINES.clone(), room.guests.handle().clone())
        .err()
        .unwrap();
    assert!(said.contains("format 9"), "{said}");
}
