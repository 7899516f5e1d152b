use std::time::Duration;

use super::*;
use crate::compiler::CompileChild;
use crate::runtime::GuestRuntime;
use crate::testing::{ENGINES, TestGuest};

struct ArtifactPipelineFixture {
    dir: tempfile::TempDir,
    guests: GuestRuntime,
}

impl ArtifactPipelineFixture {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), guests: GuestRuntime::new(1).unwrap() }
    }

    fn open(&self, data_dir: bool, compiler: Compiler) -> ArtifactPipeline {
        let data_dir = data_dir.then(|| self.dir.path().to_owned());
        ArtifactPipeline::open(data_dir.as_deref(), compiler, ENGINES.clone(), self.guests.handle().clone()).unwrap()
    }

    fn pipeline(&self) -> ArtifactPipeline {
        self.open(true, Compiler::InProcess)
    }
}

/// Examines, then compiles.
async fn examine_and_compile(foundry: &ArtifactPipeline, digest: Digest) -> Result<CompiledArtifact, ArtifactError> {
    foundry.compile(foundry.examine(digest).await?).await
}

async fn compile_error(foundry: &ArtifactPipeline, digest: Digest) -> ArtifactError {
    examine_and_compile(foundry, digest).await.err().expect("it has a flaw")
}

#[tokio::test]
async fn fresh_and_cached_give_the_same() {
    let room = ArtifactPipelineFixture::new();
    let foundry = room.pipeline();
    let digest = foundry.store(&TestGuest::default().module()).unwrap();
    assert!(foundry.contains(&digest));
    let fresh = examine_and_compile(&foundry, digest).await.unwrap();
    let cached = examine_and_compile(&room.pipeline(), digest).await.unwrap();
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
async fn cached_code_is_used_without_its_artifact() {
    let room = ArtifactPipelineFixture::new();
    let foundry = room.pipeline();
    let digest = foundry.store(&TestGuest::default().module()).unwrap();
    examine_and_compile(&foundry, digest).await.unwrap();
    std::fs::remove_dir_all(room.dir.path().join("artifacts")).unwrap();
    assert!(examine_and_compile(&room.pipeline(), digest).await.unwrap().cached);
}

#[tokio::test]
async fn concurrent_requests_compile_once() {
    let room = ArtifactPipelineFixture::new();
    let foundry = room.pipeline();
    let digest = foundry.store(&TestGuest::default().module()).unwrap();
    let (one, two) = tokio::join!(examine_and_compile(&foundry, digest), examine_and_compile(&foundry, digest));
    assert_eq!(usize::from(one.unwrap().cached) + usize::from(two.unwrap().cached), 1);
}

#[tokio::test]
async fn contract_errors_are_found_before_anything_is_compiled() {
    let room = ArtifactPipelineFixture::new();
    let foundry = room.pipeline();
    let digest = foundry.store(&TestGuest::default().module()).unwrap();
    let examined = foundry.examine(digest).await.unwrap();
    assert_eq!((examined.inspection.digest, examined.code.is_none()), (digest, true));
    let flaw = foundry.examine(foundry.store(b"\0asm\x0d\0\x01\0").unwrap()).await.err().unwrap();
    assert_eq!(flaw.stage, ArtifactStage::Contract);
    assert_eq!(std::fs::read_dir(room.dir.path().join("code")).unwrap().count(), 0, "nothing was compiled");
    let compiled = foundry.compile(examined).await.unwrap();
    assert!(!compiled.cached);
    // Cached code is neither examined again nor looked up a second time.
    let examined = foundry.examine(digest).await.unwrap();
    assert!(examined.code.is_some() && foundry.compile(examined).await.unwrap().cached);
}

#[tokio::test]
async fn a_host_without_a_disk_compiles_each_time() {
    let room = ArtifactPipelineFixture::new();
    let foundry = room.open(false, Compiler::InProcess);
    let digest = foundry.store(&TestGuest::default().module()).unwrap();
    for _ in 0..2 {
        assert!(!examine_and_compile(&foundry, digest).await.unwrap().cached);
    }
    assert_eq!(std::fs::read_dir(room.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn errors_name_their_stage() {
    let room = ArtifactPipelineFixture::new();
    let foundry = room.pipeline();
    let absent = compile_error(&foundry, Digest::compute(b"absent")).await;
    assert_eq!(absent.stage, ArtifactStage::Fetch);
    assert!(absent.reason.contains("is not in the store; upload it again"), "{absent}");
    let cases: [(&[u8], ArtifactStage, &str); 4] = [
        (b"garbage", ArtifactStage::Contract, "not WebAssembly"),
        (b"\0asm\x01\0\0\0", ArtifactStage::Contract, "without WIT metadata"),
        (b"\0asm\x0d\0\x01\0\xff", ArtifactStage::Contract, "not a valid component"),
        (b"\0asm\x0d\0\x01\0", ArtifactStage::Contract, "not a receiver"),
    ];
    for (bytes, stage, words) in cases {
        let flaw = compile_error(&foundry, foundry.store(bytes).unwrap()).await;
        assert!(flaw.stage == stage && flaw.reason.contains(words), "{flaw:?}");
    }
    assert_eq!(
        std::fs::read_dir(room.dir.path().join("code")).unwrap().count(),
        0,
        "artifacts with errors are not cached"
    );
}

#[tokio::test]
async fn a_compiler_that_cannot_be_run_is_named() {
    let room = ArtifactPipelineFixture::new();
    let child = CompileChild { program: "/nowhere/barnabas".into(), ..CompileChild::this_program() };
    let foundry = room.open(true, Compiler::Child(child));
    let flaw = compile_error(&foundry, foundry.store(b"\0asm").unwrap()).await;
    assert_eq!(flaw.stage, ArtifactStage::Contract);
    assert!(flaw.reason.starts_with("`/nowhere/barnabas` cannot be run to read it: No such file"), "{flaw}");
}

#[tokio::test]
async fn unreferenced_artifacts_are_pruned() {
    let room = ArtifactPipelineFixture::new();
    let foundry = room.pipeline();
    let digest = foundry.store(b"one").unwrap();
    let file = room.dir.path().join("artifacts").join(format!("{}.wasm", digest.hex()));
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7_200);
    std::fs::File::open(file).unwrap().set_modified(long_ago).unwrap();
    foundry.prune(&BTreeSet::from([digest]));
    assert!(foundry.contains(&digest));
    foundry.prune(&BTreeSet::new());
    assert!(!foundry.contains(&digest));
}

#[tokio::test]
async fn artifacts_of_a_newer_release_are_refused_at_start() {
    let room = ArtifactPipelineFixture::new();
    drop(room.pipeline());
    std::fs::write(room.dir.path().join("artifacts/format"), "9").unwrap();
    let said = ArtifactPipeline::open(
        Some(room.dir.path()),
        Compiler::default(),
        ENGINES.clone(),
        room.guests.handle().clone(),
    )
    .err()
    .unwrap();
    assert!(said.contains("format 9"), "{said}");
}
