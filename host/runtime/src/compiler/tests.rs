//! Tests with programs that are not compilers. The system tests use the real one.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::artifact::ArtifactStage;
use crate::testing::ENGINES;

struct CompilerFixture(tempfile::TempDir);

impl CompilerFixture {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Creates a shell script. Another process writes it, because a file that any thread of this process has open for
    /// writing cannot be executed.
    fn program(&self, script: &str) -> CompileChild {
        let path = self.0.path().join("program");
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat > \"$0\" && chmod 700 \"$0\""]).arg(&path).stdin(Stdio::piped());
        let mut writer = shell.spawn().unwrap();
        write!(writer.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
        assert!(writer.wait().unwrap().success());
        CompileChild { program: path, ..CompileChild::this_program() }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

fn compile_error(child: CompileChild, leash: &ChildGuard) -> ArtifactError {
    let flaw = Compiler::Child(child).compile(&ENGINES, b"bytes", leash).err().expect("there is no response");
    assert_eq!(flaw.stage, ArtifactStage::Compile);
    assert!(!flaw.reason.contains('\n'), "one sentence: {flaw}");
    flaw
}

fn error_of_script(script: &str) -> String {
    compile_error(CompilerFixture::new().program(script), &ChildGuard::default()).reason
}

/// Whether the process with this id has exited, reaped or not.
fn has_exited(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn wait_until(what: &str, ready: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if ready() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("timed out: {what}");
}

/// Waits until a script has written this file, and returns the text.
fn read_once_written(path: &Path) -> String {
    wait_until("the script runs", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn a_malformed_response_is_reported() {
    assert!(error_of_script("cat").ends_with("program` cannot be used to compile it: its response is cut short"));
    let garbage = error_of_script("cat > /dev/null; echo 'hello, hello, hello'");
    assert!(garbage.ends_with("its response is not that of a compiler"), "{garbage}");
    assert!(error_of_script("exit 0").ends_with("its response is cut short"));
}

#[test]
fn a_compiler_of_another_release_is_refused() {
    let message = error_of_script("cat > /dev/null; printf 'compiled\\0\\0\\0\\002'; printf '%040d' 0");
    assert!(
        message.contains("it compiles for another engine; it must be of the same release as this host"),
        "{message}"
    );
}

#[test]
fn the_last_line_on_standard_error_is_quoted() {
    let message = error_of_script("echo first >&2; printf 'the \\033[1mlast\\n\\n' >&2; exit 3");
    assert!(message.ends_with("the compiler failed on it (exit status: 3): the [1mlast"), "{message}");
}

#[test]
fn a_flood_on_standard_error_is_drained_and_not_retained() {
    let message = error_of_script("head -c 1000000 /dev/zero | tr '\\0' 'x' >&2; exit 3");
    assert!(message.len() < 600, "{} bytes", message.len());
}

#[test]
fn every_way_to_exit_is_described() {
    assert!(error_of_script("kill -SEGV $$").contains("the compiler crashed on it (signal: 11"));
    assert!(error_of_script("kill -XCPU $$").contains("it needs more than 120 s of CPU time to be compiled"));
    assert!(error_of_script("kill -KILL $$").contains("was killed, by a user or by the kernel's OOM killer"));
    let memory = error_of_script("echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$");
    assert!(memory.starts_with("it needs more than 4GiB of memory to be compiled"), "{memory}");
    assert!(error_of_script("kill -ABRT $$").contains("the compiler crashed on it (signal: 6"));
}

#[test]
fn a_child_that_only_examines_is_described_as_reading() {
    let fixture = CompilerFixture::new();
    let ask =
        |child: CompileChild| Compiler::Child(child).examine(&ENGINES, b"bytes", &ChildGuard::default()).err().unwrap();
    let task = fixture.file("task");
    let flaw = ask(fixture.program(&format!("cat > {}; kill -XCPU $$", task.display())));
    assert_eq!(
        (flaw.stage, flaw.reason.as_str()),
        (
            ArtifactStage::Contract,
            "it needs more than 120 s of CPU time to be read, which is the limit; build a smaller one"
        )
    );
    assert_eq!(fs::read(task).unwrap(), b"ebytes");
    let nowhere = CompileChild { program: "/nowhere/barnabas".into(), ..CompileChild::this_program() };
    assert!(ask(nowhere).reason.starts_with("`/nowhere/barnabas` cannot be run to read it: No such file"));
}

#[test]
fn the_child_receives_its_limits_and_a_minimal_environment() {
    let fixture = CompilerFixture::new();
    let out = fixture.file("out").display().to_string();
    let script = format!("{{ echo \"$@\"; pwd; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=; }} > {out}");
    let mut child = fixture.program(&script);
    child.limits = CompileLimits { memory: 5 << 20, cpu: Duration::from_millis(1_500), ..CompileLimits::default() };
    compile_error(child, &ChildGuard::default());
    let output = fs::read_to_string(out).unwrap();
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[..2], ["compile --compile-memory 5242880 --compile-cpu 2", "/"]);
    assert!(lines.len() == 3 && lines[2].starts_with("RAYON_NUM_THREADS="), "{lines:?}");
}

#[test]
fn the_wall_timeout_kills_the_whole_process_group() {
    let fixture = CompilerFixture::new();
    let pids = fixture.file("pids");
    let mut child = fixture.program(&format!("sleep 1000 & echo $$ $! > {}; wait", pids.display()));
    child.limits.wall = Duration::from_secs(2);
    let flaw = compile_error(child, &ChildGuard::default());
    assert!(flaw.reason.starts_with("it takes longer than 2s to be compiled"), "{flaw}");
    read_once_written(&pids).split(' ').for_each(|pid| wait_until("it is gone", || has_exited(pid)));
}

#[test]
fn the_process_group_is_killed_after_the_child_exits() {
    let fixture = CompilerFixture::new();
    let pid = fixture.file("pid");
    // The process that it started holds the pipe of standard error open.
    compile_error(
        fixture.program(&format!("sleep 1000 > /dev/null & echo $! > {}; exit 1", pid.display())),
        &ChildGuard::default(),
    );
    wait_until("it is gone", || has_exited(&read_once_written(&pid)));
}

#[test]
fn a_killed_guard_kills_the_child_now_or_when_it_starts() {
    let fixture = CompilerFixture::new();
    let pid = fixture.file("pid");
    let child = fixture.program(&format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let leash = Arc::new(ChildGuard::default());
    let (guard, of_child) = (leash.clone(), child.clone());
    let waits = thread::spawn(move || compile_error(of_child, &guard));
    let number = read_once_written(&pid);
    assert!(!has_exited(&number));
    leash.kill(KillReason::Cancelled);
    assert_eq!(waits.join().unwrap().reason, "it was not compiled, since that was cancelled");
    assert!(has_exited(&number));
    assert_eq!(
        compile_error(child, &leash).reason,
        "it was not compiled, since that was cancelled",
        "a guard works once"
    );
}
