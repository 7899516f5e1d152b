//! The child's side: a process that examines or compiles one artifact and exits.
//!
//! In: its task and the artifact's bytes, on standard input. Out: the response, on standard output, or the reason why
//! there is none, on standard error. Bounded by limits that it sets on itself before it reads.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setpriority_process, setrlimit,
};
use rustix::thread::{set_name, set_no_new_privs};

use super::{CompilerTask, response};
use crate::artifact::{MAX_ARTIFACT_BYTES, examine, examine_and_compile};
use crate::engine::Engines;

/// The lowest scheduling priority, so that everything else runs first.
const LOWEST_PRIORITY: i32 = 19;
/// Limit of open files: three pipes, and the files that the standard library reads to count CPUs.
const MAX_OPEN_FILES: u64 = 16;

/// Performs the task on standard input, within `memory` bytes of address space and `cpu` seconds of CPU time. It
/// imposes these limits on the calling process permanently, so call it first, in a program that does nothing else.
pub fn main(memory: u64, cpu: u64) -> ExitCode {
    let done =
        confine(memory, cpu).map_err(|error| format!("cannot set resource limits: {error}")).and_then(|()| run_task());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // If this fails the parent is gone, and nobody would read an error.
            let _ = writeln!(io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

fn confine(memory: u64, cpu: u64) -> rustix::io::Result<()> {
    // A parent that was killed cannot kill its child. If it ended before this line, its end of standard input is closed
    // and the artifact is cut short.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_no_new_privs(true)?;
    set_limit(Resource::Core, 0, 0)?;
    set_limit(Resource::Fsize, 0, 0)?;
    set_limit(Resource::Nofile, MAX_OPEN_FILES, MAX_OPEN_FILES)?;
    // The soft limit sends SIGXCPU, which the parent recognises; the hard limit kills.
    set_limit(Resource::Cpu, cpu, cpu.saturating_add(1))?;
    set_limit(Resource::As, memory, memory)?;
    // Only for process listings, so a failure does not matter.
    let _ = set_name(c"barnabas-compil");
    setpriority_process(None, LOWEST_PRIORITY)
}

/// Sets a limit, but not above an existing hard limit.
fn set_limit(resource: Resource, current: u64, maximum: u64) -> rustix::io::Result<()> {
    let hard_limit = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    setrlimit(resource, Rlimit { current: Some(current.min(hard_limit)), maximum: Some(maximum.min(hard_limit)) })
}

fn run_task() -> Result<(), String> {
    let engines =
        Engines::for_compiling().map_err(|error| format!("cannot create the WebAssembly engine: {error:#}"))?;
    let (mut task, mut bytes, mut input) = ([0], Vec::new(), io::stdin().lock());
    let read =
        input.read_exact(&mut task).and_then(|()| input.take(MAX_ARTIFACT_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot read the artifact: {error}"))?;
    let [task] = task;
    let task =
        CompilerTask::from_byte(task).ok_or("it does not know the requested task; its host is of another release")?;
    if bytes.len() > MAX_ARTIFACT_BYTES {
        return Err(format!("it has more than {MAX_ARTIFACT_BYTES} bytes, which is the limit for an artifact"));
    }
    let (inspection, done) = match task {
        CompilerTask::Examine => {
            let (inspection, sound) = examine(&bytes);
            (inspection, sound.map(|_| None))
        }
        CompilerTask::Compile => {
            let (inspection, code) = examine_and_compile(&engines.on_demand, &bytes);
            (inspection, code.map(Some))
        }
    };
    response::write(&mut io::stdout().lock(), engines.fingerprint(), inspection, done)
}
