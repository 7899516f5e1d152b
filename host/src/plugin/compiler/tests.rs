//! With programs that are no compilers. The real one is met in the system tests, which have it as a program.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::plugin::artifact::FlawStage;
use crate::plugin::testing::ENGINES;

struct Room(tempfile::TempDir);

impl Room {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A program that is a shell script. Another process writes it: a file that this one has open for writing, in any
    /// thread, could not be run.
    fn program(&self, script: &str) -> Child {
        let path = self.0.path().join("program");
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat > \"$0\" && chmod 700 \"$0\""]).arg(&path).stdin(Stdio::piped());
        let mut writer = shell.spawn().unwrap();
        write!(writer.stdin.take().unwrap(), "#!/bin/sh\n{script}\n").unwrap();
        assert!(writer.wait().unwrap().success());
        Child { program: path, ..Child::this_program() }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

fn ask(child: Child, leash: &Leash) -> Flaw {
    let flaw = Compiler::Child(child).compile(&ENGINES, b"bytes", leash).err().expect("there is no answer");
    assert_eq!(flaw.stage, FlawStage::Compile);
    assert!(!flaw.reason.contains('\n'), "one sentence: {flaw}");
    flaw
}

fn said(script: &str) -> String {
    ask(Room::new().program(script), &Leash::default()).reason
}

/// Whether the process of that number is gone, or ended and only not reaped yet.
fn gone(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

fn eventually(what: &str, ready: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if ready() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain: {what}");
}

/// What a script wrote there, once it has.
fn written(path: &Path) -> String {
    eventually("the script runs", || fs::read_to_string(path).is_ok_and(|text| text.ends_with('\n')));
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn garbage_is_no_answer() {
    assert!(said("cat").ends_with("program` cannot be used to compile it: its answer is cut short"));
    let garbage = said("cat > /dev/null; echo 'hello, hello, hello'");
    assert!(garbage.ends_with("its answer is not that of a compiler"), "{garbage}");
    assert!(said("exit 0").ends_with("its answer is cut short"));
}

#[test]
fn a_compiler_of_another_release_is_refused() {
    let said = said("cat > /dev/null; printf 'compiled\\0\\0\\0\\002'; printf '%040d' 0");
    assert!(said.contains("it compiles for another engine; it must be of the same release as this host"), "{said}");
}

#[test]
fn what_it_says_before_it_fails_is_repeated_in_part() {
    let said = said("echo first >&2; printf 'the \\033[1mlast\\n\\n' >&2; exit 3");
    assert!(said.ends_with("the compiler gave it up (exit status: 3): the [1mlast"), "{said}");
}

#[test]
fn a_flood_on_standard_error_is_read_and_not_kept() {
    let said = said("head -c 1000000 /dev/zero | tr '\\0' 'x' >&2; exit 3");
    assert!(said.len() < 600, "{} bytes", said.len());
}

#[test]
fn every_end_has_its_words() {
    assert!(said("kill -SEGV $$").contains("the compiler crashed on it (signal: 11"));
    assert!(said("kill -XCPU $$").contains("it needs more than 120 s of CPU time to be compiled"));
    assert!(said("kill -KILL $$").contains("was killed, by somebody or by the system"));
    let memory = said("echo 'memory allocation of 8 bytes failed' >&2; kill -ABRT $$");
    assert!(memory.starts_with("it needs more than 4GiB of memory to be compiled"), "{memory}");
    assert!(said("kill -ABRT $$").contains("the compiler crashed on it (signal: 6"));
}

#[test]
fn one_that_only_reads_says_so() {
    let room = Room::new();
    let ask = |child: Child| Compiler::Child(child).examine(&ENGINES, b"bytes", &Leash::default()).err().unwrap();
    let task = room.file("task");
    let flaw = ask(room.program(&format!("cat > {}; kill -XCPU $$", task.display())));
    assert_eq!(
        (flaw.stage, flaw.reason.as_str()),
        (
            FlawStage::Contract,
            "it needs more than 120 s of CPU time to be read, which is the limit; build a smaller one"
        )
    );
    assert_eq!(fs::read(task).unwrap(), b"ebytes");
    let nowhere = Child { program: "/nowhere/barnabas".into(), ..Child::this_program() };
    assert!(ask(nowhere).reason.starts_with("`/nowhere/barnabas` cannot be run to read it: No such file"));
}

#[test]
fn it_is_told_its_limits_and_little_else() {
    let room = Room::new();
    let out = room.file("out").display().to_string();
    let script = format!("{{ echo \"$@\"; pwd; env | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD=; }} > {out}");
    let mut child = room.program(&script);
    child.limits = Limits { memory: 5 << 20, cpu: Duration::from_millis(1_500), ..Limits::default() };
    ask(child, &Leash::default());
    let told = fs::read_to_string(out).unwrap();
    let lines: Vec<_> = told.lines().collect();
    assert_eq!(lines[..2], ["compile --compile-memory 5242880 --compile-cpu 2", "/"]);
    assert!(lines.len() == 3 && lines[2].starts_with("RAYON_NUM_THREADS="), "{lines:?}");
}

#[test]
fn wall_time_ends_it_with_all_it_started() {
    let room = Room::new();
    let pids = room.file("pids");
    let mut child = room.program(&format!("sleep 1000 & echo $$ $! > {}; wait", pids.display()));
    child.limits.wall = Duration::from_secs(2);
    let flaw = ask(child, &Leash::default());
    assert!(flaw.reason.starts_with("it takes longer than 2s to be compiled"), "{flaw}");
    written(&pids).split(' ').for_each(|pid| eventually("it is gone", || gone(pid)));
}

#[test]
fn nobody_is_left_when_it_ends_by_itself() {
    let room = Room::new();
    let pid = room.file("pid");
    // What it started holds the pipe of standard error.
    ask(room.program(&format!("sleep 1000 > /dev/null & echo $! > {}; exit 1", pid.display())), &Leash::default());
    eventually("it is gone", || gone(&written(&pid)));
}

#[test]
fn a_cut_leash_ends_it_now_or_as_soon_as_it_starts() {
    let room = Room::new();
    let pid = room.file("pid");
    let child = room.program(&format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let leash = Arc::new(Leash::default());
    let (held, of_child) = (leash.clone(), child.clone());
    let waits = thread::spawn(move || ask(of_child, &held));
    let number = written(&pid);
    assert!(!gone(&number));
    leash.cut(Cut::Cancelled);
    assert_eq!(waits.join().unwrap().reason, "it was not compiled, since that was cancelled");
    assert!(gone(&number));
    assert_eq!(ask(child, &leash).reason, "it was not compiled, since that was cancelled", "a leash holds once");
}
