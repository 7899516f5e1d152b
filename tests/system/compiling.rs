//! Untrusted artifacts are decoded and compiled in a child process, and the host survives any failure of it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use barnabas_base::digest::Digest;
use barnabas_runtime::artifact::ArtifactStage;
use barnabas_runtime::artifact::inspect;
use barnabas_runtime::artifact_pipeline::{ArtifactError, ArtifactPipeline, CompiledArtifact};
use barnabas_runtime::compiler::{CompileChild, CompileLimits, Compiler};
use barnabas_runtime::engine::Engines;
use barnabas_tests::command::{path, stderr, stdout};
use barnabas_tests::eventually;
use barnabas_tests::host::Setup;
use tempfile::TempDir;
use tokio::runtime::Handle;

const PATIENCE: Duration = Duration::from_secs(60);

/// An artifact pipeline in a folder of its own.
struct PipelineFixture {
    folder: TempDir,
    engines: Engines,
}

impl PipelineFixture {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), engines: Engines::new().unwrap() }
    }

    fn open(&self, compiler: Compiler) -> ArtifactPipeline {
        ArtifactPipeline::open(Some(self.folder.path()), compiler, self.engines.clone(), Handle::current()).unwrap()
    }

    fn child(&self, limits: CompileLimits) -> ArtifactPipeline {
        self.open(Compiler::Child(CompileChild { program: path(), limits }))
    }

    fn entry(&self) -> Option<PathBuf> {
        let mut entries = std::fs::read_dir(self.folder.path().join("code")).unwrap();
        entries.next().map(|entry| entry.unwrap().path())
    }
}

pub(crate) fn guest(name: &str) -> Vec<u8> {
    std::fs::read(barnabas_tests::guests::path(name)).unwrap()
}

fn number(mut value: usize, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn section(id: u8, body: &[u8], out: &mut Vec<u8>) {
    out.push(id);
    number(body.len(), out);
    out.extend_from_slice(body);
}

/// A component with a receiver and a function of `depth` nested loops, each with a local variable of its own. Every
/// loop has every local live, so that a few kilobytes take any amount of compile time and memory.
fn nested(depth: usize) -> Vec<u8> {
    let mut body = vec![1];
    number(depth, &mut body);
    body.push(0x7f);
    for local in 1..=depth {
        // loop, local.get 0, local.set
        body.extend_from_slice(&[0x03, 0x40, 0x20, 0, 0x21]);
        number(local, &mut body);
    }
    for local in 1..=depth {
        // local.get, br_if 0, end
        body.push(0x20);
        number(local, &mut body);
        body.extend_from_slice(&[0x0d, 0, 0x0b]);
    }
    body.extend_from_slice(&[0x20, 0, 0x0b]);
    let mut code = vec![1];
    number(body.len(), &mut code);
    code.append(&mut body);
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(1, &[1, 0x60, 1, 0x7f, 1, 0x7f], &mut module);
    section(3, &[1, 0], &mut module);
    section(10, &code, &mut module);
    beside_a_receiver(&module)
}

/// A component with a receiver that also contains this core module, without using it.
fn beside_a_receiver(module: &[u8]) -> Vec<u8> {
    let taker = guest("taker");
    let mut component = inspect(&taker).1.unwrap().into_owned();
    section(1, module, &mut component);
    component
}

/// An artifact that takes minutes to compile.
pub(crate) fn endless() -> Vec<u8> {
    nested(3_000)
}

/// A distinct CPU limit identifies the child process of each test.
fn limits(cpu: u64) -> CompileLimits {
    CompileLimits { cpu: Duration::from_secs(cpu), ..CompileLimits::default() }
}

/// Inspects and then compiles an artifact.
async fn compiled(foundry: &ArtifactPipeline, digest: Digest) -> Result<CompiledArtifact, ArtifactError> {
    foundry.compile(foundry.examine(digest).await?).await
}

async fn flaw(limits: CompileLimits, artifact: &[u8]) -> ArtifactError {
    let room = PipelineFixture::new();
    let foundry = room.child(limits);
    let digest = foundry.store(artifact).unwrap();
    let flaw = compiled(&foundry, digest).await.err().expect("the compilation fails");
    assert!(!flaw.reason.contains('\n'), "a single line: {flaw}");
    assert!(room.entry().is_none(), "the cache has no entry for it");
    flaw
}

/// The child process that compiles with this CPU limit.
fn compiling_process(cpu: u64) -> Option<u32> {
    let wanted = format!("\0--compile-cpu\0{cpu}\0");
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
        words.contains(&wanted).then_some(id)
    })
}

fn kill(id: u32) {
    assert!(Command::new("kill").args(["-KILL", &id.to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_compiles_like_this_process_and_the_cache_returns_its_code() {
    let (room, own) = (PipelineFixture::new(), PipelineFixture::new());
    let by_child = room.child(CompileLimits::default());
    let by_us = own.open(Compiler::InProcess);
    for name in ["taker", "otlp-http"] {
        let digest = by_child.store(&guest(name)).unwrap();
        by_us.store(&guest(name)).unwrap();
        let fresh = compiled(&by_child, digest).await.unwrap();
        let here = compiled(&by_us, digest).await.unwrap();
        // This pipeline has no compiler, so its code must come from the cache.
        let nobody = CompileChild { program: "/nowhere".into(), limits: CompileLimits::default() };
        let cached = compiled(&room.open(Compiler::Child(nobody)), digest).await.unwrap();
        assert_eq!([fresh.cached, here.cached, cached.cached], [false, false, true]);
        assert_eq!(fresh.inspection, here.inspection);
        assert_eq!(fresh.inspection, cached.inspection);
        for compiled in [fresh, here, cached] {
            assert_eq!(by_child.link(&compiled).unwrap().inspection.digest, digest);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_the_child_keep_their_stage() {
    for (artifact, stage, words) in [
        (b"#!/bin/sh".as_slice(), ArtifactStage::Contract, "it is not WebAssembly (it begins with `#!/b`)"),
        (b"\0asm\x01\0\0\0", ArtifactStage::Contract, "barnabas-sdk"),
        (b"\0asm\x0d\0\x01\0", ArtifactStage::Contract, "kafka-telemetry:receiver"),
    ] {
        let flaw = flaw(CompileLimits::default(), artifact).await;
        assert!(flaw.stage == stage && flaw.reason.contains(words), "{flaw:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wasmtime_errors_are_passed_on() {
    // Valid WebAssembly that uses a disabled proposal: a module with a GC type.
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    section(1, &[1, 0x5f, 0], &mut module);
    let flaw = flaw(CompileLimits::default(), &beside_a_receiver(&module)).await;
    assert_eq!(flaw.stage, ArtifactStage::Compile);
    assert!(flaw.reason.starts_with("it does not compile: ") && flaw.reason.contains("gc"), "{flaw}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_obeyed_and_violated() {
    let small = CompileLimits { memory: 512 << 20, ..limits(101) };
    let room = PipelineFixture::new();
    let foundry = room.child(small);
    let digest = foundry.store(&guest("taker")).unwrap();
    compiled(&foundry, digest).await.unwrap();
    let said = flaw(small, &nested(5_000)).await.reason;
    assert!(said.starts_with("it needs more than 512MiB of memory to be compiled"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cpu_violated() {
    let said = flaw(limits(1), &endless()).await.reason;
    assert!(said.starts_with("it needs more than 1 s of CPU time to be compiled"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wall_time_violated() {
    let said = flaw(CompileLimits { wall: Duration::from_millis(300), ..limits(102) }, &endless()).await.reason;
    assert!(said.starts_with("it takes longer than 300ms to be compiled"), "{said}");
    eventually("the child to exit", PATIENCE, || compiling_process(102).is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_child_is_reported_and_the_next_one_works() {
    let room = PipelineFixture::new();
    let foundry = room.child(limits(103));
    // The child that inspects the artifact has exited when the one that compiles is searched for.
    let endless = foundry.examine(foundry.store(&endless()).unwrap()).await.unwrap();
    let waits = tokio::spawn({
        let foundry = foundry.clone();
        async move { foundry.compile(endless).await.err().unwrap().reason }
    });
    kill(eventually("the child", PATIENCE, || compiling_process(103)).await);
    let said = waits.await.unwrap();
    assert!(said.starts_with("the process that compiled it was killed"), "{said}");
    let digest = foundry.store(&guest("taker")).unwrap();
    compiled(&foundry, digest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compile_without_a_waiter_is_stopped_and_the_next_one_starts() {
    let room = PipelineFixture::new();
    let foundry = room.child(limits(104));
    // The child that inspects the artifact has exited when the one that compiles is searched for.
    let endless = foundry.examine(foundry.store(&endless()).unwrap()).await.unwrap();
    let waits = tokio::spawn({
        let foundry = foundry.clone();
        async move { foundry.compile(endless).await.map(|_| ()) }
    });
    eventually("the child", PATIENCE, || compiling_process(104)).await;
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    let digest = foundry.store(&guest("taker")).unwrap();
    compiled(&foundry, digest).await.unwrap();
    assert_eq!(compiling_process(104), None, "one at a time: the first child exited before the second started");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_limits_its_own_resources() {
    let room = PipelineFixture::new();
    let foundry = room.child(limits(105));
    // The child that inspects the artifact has exited when the one that compiles is searched for.
    let endless = foundry.examine(foundry.store(&endless()).unwrap()).await.unwrap();
    let waits = tokio::spawn(async move { foundry.compile(endless).await.map(|_| ()) });
    let child = eventually("the child", PATIENCE, || compiling_process(105)).await;
    let read = |file: &str| std::fs::read(format!("/proc/{child}/{file}")).unwrap_or_default();
    // The child sets all limits before it reads the artifact, and sets the priority last.
    eventually("its limits", PATIENCE, || {
        let stat = String::from_utf8(read("stat")).unwrap();
        let nice: i32 = stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().unwrap();
        (nice >= 10).then_some(())
    })
    .await;
    let limits = String::from_utf8(read("limits")).unwrap();
    let row = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        line[name.len()..].split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("Max address space"), "4294967296 4294967296");
    assert_eq!(row("Max cpu time"), "105 106");
    let files = ["Max core file size", "Max file size", "Max open files"].map(row);
    assert_eq!(files, ["0 0", "0 0", "16 16"]);
    assert!(String::from_utf8(read("status")).unwrap().contains("NoNewPrivs:\t1"));
    let environment = String::from_utf8(read("environ")).unwrap();
    assert!(environment.starts_with("RAYON_NUM_THREADS=") && environment.matches('=').count() == 1, "{environment}");
    assert_eq!(std::fs::read_link(format!("/proc/{child}/cwd")).unwrap(), PathBuf::from("/"));
    waits.abort();
    let _ = waits.await;
}

#[test]
fn the_compile_command_is_hidden_and_requires_its_limits() {
    assert!(!stdout(&["--help"]).contains("compile"));
    assert!(stderr(&["compile"]).contains("--compile-memory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_is_killed_with_its_host() {
    let setup = Setup::new();
    let artifact = setup.folder().join("endless.wasm");
    std::fs::write(&artifact, endless()).unwrap();
    let setup = setup.manifest("endless", &format!("artifact = {:?}\n", artifact.display().to_string()));
    let mut host = Command::new(path())
        .args(["serve", "--config", setup.write().to_str().unwrap()])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // With this much CPU time used, the child has read its input: end of file on standard input would not stop it.
    let busy = |id: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let ticks: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(11)?.parse().ok()?;
        (ticks > 50).then_some(id)
    };
    let of_host = || {
        let children = std::fs::read_dir(format!("/proc/{}/task", host.id())).ok()?;
        let children = children.flatten().map(|task| std::fs::read_to_string(task.path().join("children")));
        let id = children.flatten().find_map(|ids| ids.split(' ').next()?.parse::<u32>().ok())?;
        let words = std::fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
        words.starts_with("barnabas-compile\0compile\0").then_some(id).and_then(busy)
    };
    let child = eventually("the child", PATIENCE, of_host).await;
    kill(host.id());
    host.wait().unwrap();
    // On its own the child would run for another minute.
    eventually("the child to exit", Duration::from_secs(15), || {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat"));
        stat.map_or(true, |stat| stat.contains(") Z ")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_stores_the_artifact_and_its_code() {
    let host = Setup::new().receiver("taker", "taker", "").start().await;
    let serving = host.status("taker").serving.expect("the plugin serves");
    let kept = host.folder().join("data/artifacts").join(format!("{}.wasm", serving.digest.hex()));
    assert_eq!(std::fs::read(kept).unwrap(), guest("taker"));
    assert_eq!(std::fs::read_dir(host.folder().join("data/code")).unwrap().count(), 1);
    host.stop().await;
}
