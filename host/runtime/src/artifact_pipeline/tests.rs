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
async fn examine_and_compile(pipeline: &ArtifactPipeline, digest: Digest) -> Result<CompiledArtifact, ArtifactError> {
    pipeline.compile(pipeline.examine(digest).await?).await
}

async fn compile_error(pipeline: &ArtifactPipeline, digest: Digest) -> ArtifactError {
    examine_and_compile(pipeline, digest).await.err().expect("it has a flaw")
}

#[tokio::test]
async fn fresh_and_cached_give_the_same() {
    let fixture = ArtifactPipelineFixture::new();
    let pipeline = fixture.pipeline();
    let digest = pipeline.store(&TestGuest::default().module()).unwrap();
    assert!(pipeline.contains(&digest));
    let fresh = examine_and_compile(&pipeline, digest).await.unwrap();
    let cached = examine_and_compile(&fixture.pipeline(), digest).await.unwrap();
    assert_eq!((fresh.cached, cached.cached), (false, true));
    assert_eq!(fresh.inspection, cached.inspection);
    assert_eq!(fresh.code.bytes(), cached.code.bytes());
    for compiled in [fresh, cached] {
        let artifact = pipeline.link(&compiled).unwrap();
        assert_eq!(artifact.inspection.digest, digest);
        assert!(artifact.pooled.is_some());
    }
}

#[tokio::test]
async fn cached_code_is_used_without_its_artifact() {
    let fixture = ArtifactPipelineFixture::new();
    let pipeline = fixture.pipeline();
    let digest = pipeline.store(&TestGuest::default().module()).unwrap();
    examine_and_compile(&pipeline, digest).await.unwrap();
    std::fs::remove_dir_all(fixture.dir.path().join("artifacts")).unwrap();
    assert!(examine_and_compile(&fixture.pipeline(), digest).await.unwrap().cached);
}

#[tokio::test]
async fn concurrent_requests_compile_once() {
    let fixture = ArtifactPipelineFixture::new();
    let pipeline = fixture.pipeline();
    let digest = pipeline.store(&TestGuest::default().module()).unwrap();
    let (one, two) = tokio::join!(examine_and_compile(&pipeline, digest), examine_and_compile(&pipeline, digest));
    assert_eq!(usize::from(one.unwrap().cached) + usize::from(two.unwrap().cached), 1);
}

#[tokio::test]
async fn contract_errors_are_found_before_anything_is_compiled() {
    let fixture = ArtifactPipelineFixture::new();
    let pipeline = fixture.pipeline();
    let digest = pipeline.store(&TestGuest::default().module()).unwrap();
    let examined = pipeline.examine(digest).await.unwrap();
    assert_eq!((examined.inspection.digest, examined.code.is_none()), (digest, true));
    let flaw = pipeline.examine(pipeline.store(b"\0asm\x0d\0\x01\0").unwrap()).await.err().unwrap();
    assert_eq!(flaw.stage, ArtifactStage::Contract);
    assert_eq!(std::fs::read_dir(fixture.dir.path().join("code")).unwrap().count(), 0, "nothing was compiled");
    let compiled = pipeline.compile(examined).await.unwrap();
    assert!(!compiled.cached);
    // Cached code is neither examined again nor looked up a second time.
    let examined = pipeline.examine(digest).await.unwrap();
    assert!(examined.code.is_some() && pipeline.compile(examined).await.unwrap().cached);
}

#[tokio::test]
async fn a_host_without_a_disk_compiles_each_time() {
    let fixture = ArtifactPipelineFixture::new();
    let pipeline = fixture.open(false, Compiler::InProcess);
    let digest = pipeline.store(&TestGuest::default().module()).unwrap();
    for _ in 0..2 {
        assert!(!examine_and_compile(&pipeline, digest).await.unwrap().cached);
    }
    assert_eq!(std::fs::read_dir(fixture.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn errors_name_their_stage() {
    let fixture = ArtifactPipelineFixture::new();
    let pipeline = fixture.pipeline();
    let absent = compile_error(&pipeline, Digest::compute(b"absent")).await;
    assert_eq!(absent.stage, ArtifactStage::Fetch);
    assert!(absent.reason.contains("is not in the store; upload it again"), "{absent}");
    let cases: [(&[u8], ArtifactStage, &str); 4] = [
        (b"garbage", ArtifactStage::Contract, "not WebAssembly"),
        (b"\0asm\x01\0\0\0", ArtifactStage::Contract, "without WIT metadata"),
        (b"\0asm\x0d\0\x01\0\xff", ArtifactStage::Contract, "not a valid component"),
        (b"\0asm\x0d\0\x01\0", ArtifactStage::Contract, "not a receiver"),
    ];
    for (bytes, stage, words) in cases {
        let flaw = compile_error(&pipeline, pipeline.store(bytes).unwrap()).await;
        assert!(flaw.stage == stage && flaw.reason.contains(words), "{flaw:?}");
    }
    assert_eq!(
        std::fs::read_dir(fixture.dir.path().join("code")).unwrap().count(),
        0,
        "artifacts with errors are not cached"
    );
}

#[tokio::test]
async fn a_compiler_that_cannot_be_run_is_named() {
    let fixture = ArtifactPipelineFixture::new();
    let child = CompileChild { program: "/nowhere/barnabas".into(), ..CompileChild::this_program() };
    let pipeline = fixture.open(true, Compiler::Child(child));
    let flaw = compile_error(&pipeline, pipeline.store(b"\0asm").unwrap()).await;
    assert_eq!(flaw.stage, ArtifactStage::Contract);
    assert!(flaw.reason.starts_with("`/nowhere/barnabas` cannot be run to read it: No such file"), "{flaw}");
}

#[tokio::test]
async fn unreferenced_artifacts_are_pruned() {
    let fixture = ArtifactPipelineFixture::new();
    let pipeline = fixture.pipeline();
    let digest = pipeline.store(b"one").unwrap();
    let file = fixture.dir.path().join("artifacts").join(format!("{}.wasm", digest.hex()));
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7_200);
    std::fs::File::open(file).unwrap().set_modified(long_ago).unwrap();
    pipeline.prune(&BTreeSet::from([digest]));
    assert!(pipeline.contains(&digest));
    pipeline.prune(&BTreeSet::new());
    assert!(!pipeline.contains(&digest));
}

#[tokio::test]
async fn artifacts_of_a_newer_release_are_refused_at_start() {
    let fixture = ArtifactPipelineFixture::new();
    drop(fixture.pipeline());
    std::fs::write(fixture.dir.path().join("artifacts/format"), "9").unwrap();
    let message = ArtifactPipeline::open(
        Some(fixture.dir.path()),
        Compiler::default(),
        ENGINES.clone(),
        fixture.guests.handle().clone(),
    )
    .err()
    .unwrap();
    assert!(message.contains("format 9"), "{message}");
}
