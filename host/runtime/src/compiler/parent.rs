//! The parent's side: runs one child from start to exit.

use std::io::{self, Read as _, Write as _};
use std::process;
use std::thread::{self, Scope, ScopedJoinHandle};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::child_exit::ChildExit;
use super::child_guard::{ChildGuard, KillReason};
use super::{CompileChild, CompilerTask, response};
use crate::artifact::{ArtifactError, Inspection};
use crate::compiled_code::CompiledCode;
use barnabas_base::digest::Digest;

/// Maximum number of bytes of the child's standard error that are kept.
const MAX_STDERR_BYTES: u64 = 64 << 10;

type ChildResponse = Result<Result<(Inspection, Option<CompiledCode>), ArtifactError>, String>;

/// Starts the child, sends it its task and `bytes`, reads its response and reaps it. Blocks.
pub(super) fn run_child(
    child: &CompileChild,
    task: CompilerTask,
    fingerprint: [u8; 32],
    bytes: &[u8],
    guard: &ChildGuard,
) -> Result<(Inspection, Option<CompiledCode>), ArtifactError> {
    let run_error = |error: io::Error| {
        let (program, verb) = (child.program.display(), task.verb());
        ArtifactError::new(task.stage(), format!("`{program}` cannot be run to {verb} it: {error}"))
    };
    let mut process = child.command().spawn().map_err(run_error)?;
    let id = Pid::from_child(&process);
    guard.attach(id);
    let (answer, stderr, cut) = thread::scope(|scope| {
        let stderr = spawn_helpers(scope, &mut process, child, guard);
        if stderr.is_err() {
            guard.kill(KillReason::Cancelled);
        }
        let answer = exchange(&mut process, task, fingerprint, bytes);
        wait_for_exit(id);
        let cut = guard.detach();
        (answer, stderr.map(|thread| thread.join().unwrap_or_default()), cut)
    });
    let status = process.wait().map_err(run_error)?;
    let stderr = stderr.map_err(run_error)?;
    match answer {
        Ok(answer) if status.success() && cut.is_none() => answer,
        answer => {
            Err(ChildExit { task, kill_reason: cut, status, stderr: &stderr, response_error: answer.err(), child }
                .to_error())
        }
    }
}

/// Starts a thread that enforces the wall timeout and one that reads standard error; both end with the child.
fn spawn_helpers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    process: &mut process::Child,
    child: &'scope CompileChild,
    guard: &'scope ChildGuard,
) -> io::Result<ScopedJoinHandle<'scope, Vec<u8>>> {
    let named = || thread::Builder::new().name("barnabas-compile".into());
    named().spawn_scoped(scope, || guard.kill_after(child.limits.wall))?;
    let mut pipe = process.stderr.take();
    named().spawn_scoped(scope, move || {
        let mut stderr = Vec::new();
        if let Some(pipe) = &mut pipe {
            let _ = pipe.take(MAX_STDERR_BYTES).read_to_end(&mut stderr);
            // The rest is discarded, so that the child does not block on a full pipe.
            let _ = io::copy(pipe, &mut io::sink());
        }
        stderr
    })
}

/// Sends the task and reads the response. A child reads all its input before it writes, so there is no deadlock; a
/// child that does otherwise is killed by the wall timeout.
fn exchange(process: &mut process::Child, task: CompilerTask, fingerprint: [u8; 32], bytes: &[u8]) -> ChildResponse {
    if let Some(mut pipe) = process.stdin.take() {
        // If the child stopped reading, its exit status says why.
        let _ = pipe.write_all(&[task as u8]).and_then(|()| pipe.write_all(bytes));
    }
    let pipe = process.stdout.take().ok_or("it has no standard output")?;
    response::read(pipe, task, fingerprint, &Digest::compute(bytes))
}

/// Waits until the child has exited, without reaping it.
fn wait_for_exit(id: Pid) {
    let ended = || waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while matches!(ended(), Err(Errno::INTR)) {}
}
