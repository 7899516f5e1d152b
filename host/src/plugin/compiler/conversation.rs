//! The parent's side of one child's life.

use std::io::{self, Read as _, Write as _};
use std::process;
use std::thread::{self, Scope, ScopedJoinHandle};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::ending::Ending;
use super::leash::{Cut, Leash};
use super::{Child, Task, answer};
use crate::plugin::artifact::{Flaw, Inspection};
use crate::plugin::code::Code;
use crate::plugin::digest::Digest;

/// Most bytes of what the child says about itself that are kept.
const STDERR_BYTES: u64 = 64 << 10;

type Answer = Result<Result<(Inspection, Option<Code>), Flaw>, String>;

/// Starts the child, hands it its task and `bytes`, takes its answer, reaps it. Blocks.
pub(super) fn hold(
    child: &Child,
    task: Task,
    fingerprint: [u8; 32],
    bytes: &[u8],
    leash: &Leash,
) -> Result<(Inspection, Option<Code>), Flaw> {
    let unable = |error: io::Error| {
        let (program, verb) = (child.program.display(), task.verb());
        Flaw::new(task.stage(), format!("`{program}` cannot be run to {verb} it: {error}"))
    };
    let mut process = child.command().spawn().map_err(unable)?;
    let id = Pid::from_child(&process);
    leash.hold(id);
    let (answer, stderr, cut) = thread::scope(|scope| {
        let stderr = helpers(scope, &mut process, child, leash);
        if stderr.is_err() {
            leash.cut(Cut::Cancelled);
        }
        let answer = exchange(&mut process, task, fingerprint, bytes);
        await_end(id);
        let cut = leash.over();
        (answer, stderr.map(|thread| thread.join().unwrap_or_default()), cut)
    });
    let status = process.wait().map_err(unable)?;
    let stderr = stderr.map_err(unable)?;
    match answer {
        Ok(answer) if status.success() && cut.is_none() => answer,
        answer => Err(Ending { task, cut, status, stderr: &stderr, nonsense: answer.err(), child }.flaw()),
    }
}

/// A thread that looks at the clock, and one that listens to standard error; both end when the child does.
fn helpers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    process: &mut process::Child,
    child: &'scope Child,
    leash: &'scope Leash,
) -> io::Result<ScopedJoinHandle<'scope, Vec<u8>>> {
    let named = || thread::Builder::new().name("barnabas-compile".into());
    named().spawn_scoped(scope, || leash.watch(child.limits.wall))?;
    let mut pipe = process.stderr.take();
    named().spawn_scoped(scope, move || {
        let mut kept = Vec::new();
        if let Some(pipe) = &mut pipe {
            let _ = pipe.take(STDERR_BYTES).read_to_end(&mut kept);
            // The rest is thrown away, lest the child should wait for somebody to read it.
            let _ = io::copy(pipe, &mut io::sink());
        }
        kept
    })
}

/// A child reads all before it says a word, so the two do not wait for each other. One that does otherwise is ended by
/// the clock.
fn exchange(process: &mut process::Child, task: Task, fingerprint: [u8; 32], bytes: &[u8]) -> Answer {
    if let Some(mut pipe) = process.stdin.take() {
        // One that reads no further has a reason, which its end will tell.
        let _ = pipe.write_all(&[task as u8]).and_then(|()| pipe.write_all(bytes));
    }
    let pipe = process.stdout.take().ok_or("it has no standard output")?;
    answer::read(pipe, task, fingerprint, &Digest::of(bytes))
}

/// Returns when the child has ended, and leaves it to be reaped.
fn await_end(id: Pid) {
    let ended = || waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while matches!(ended(), Err(Errno::INTR)) {}
}
