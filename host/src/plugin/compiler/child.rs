//! The child's side: a process that examines or compiles one artifact and ends.
//!
//! In: its task and the artifact's bytes, on standard input. Out: the answer, on standard output; words about why there is none, on
//! standard error. Bounded by limits that it sets on itself before it reads.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setpriority_process, setrlimit,
};
use rustix::thread::{set_name, set_no_new_privs};

use super::{CompilerTask, response};
use crate::plugin::artifact::{MAX_ARTIFACT_BYTES, examine, examine_and_compile};
use crate::plugin::engine::Engines;

/// The least priority that there is: everything else goes first.
const LOWEST_PRIORITY: i32 = 19;
/// Files that may be open at once: its three pipes, and what the standard library looks into when it counts CPUs.
const MAX_OPEN_FILES: u64 = 16;

/// Does its task with what stands on standard input, within `memory` bytes of address space and `cpu` seconds of CPU time, which
/// it imposes on the calling process for good. To be called first thing, by a program that does nothing else.
pub fn main(memory: u64, cpu: u64) -> ExitCode {
    let done = confine(memory, cpu).map_err(|error| format!("limits cannot be set: {error}")).and_then(|()| run_task());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Whom to tell, if the parent is gone?
            let _ = writeln!(io::stderr(), "{problem}");
            ExitCode::FAILURE
        }
    }
}

fn confine(memory: u64, cpu: u64) -> rustix::io::Result<()> {
    // A parent that was killed cannot end us. Should it have gone before this line, then its end of our standard input
    // is closed, and what there is to compile is cut short.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_no_new_privs(true)?;
    set_limit(Resource::Core, 0, 0)?;
    set_limit(Resource::Fsize, 0, 0)?;
    set_limit(Resource::Nofile, MAX_OPEN_FILES, MAX_OPEN_FILES)?;
    // The signal that can be told from others comes at the first number, the end at the second.
    set_limit(Resource::Cpu, cpu, cpu.saturating_add(1))?;
    set_limit(Resource::As, memory, memory)?;
    // Only for who looks at processes: of no consequence where it is refused.
    let _ = set_name(c"barnabas-compil");
    setpriority_process(None, LOWEST_PRIORITY)
}

/// Not above what somebody else has set.
fn set_limit(resource: Resource, current: u64, maximum: u64) -> rustix::io::Result<()> {
    let hard_limit = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    setrlimit(resource, Rlimit { current: Some(current.min(hard_limit)), maximum: Some(maximum.min(hard_limit)) })
}

fn run_task() -> Result<(), String> {
    let engines = Engines::for_compiling().map_err(|error| format!("the engine does not start: {error:#}"))?;
    let (mut task, mut bytes, mut input) = ([0], Vec::new(), io::stdin().lock());
    let read =
        input.read_exact(&mut task).and_then(|()| input.take(MAX_ARTIFACT_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot read the artifact: {error}"))?;
    let [task] = task;
    let task = CompilerTask::from_byte(task)
        .ok_or("it is given a task that it does not know; its host is of another release")?;
    if bytes.len() > MAX_ARTIFACT_BYTES {
        return Err(format!("it has more than {MAX_ARTIFACT_BYTES} bytes, which is the most of an artifact"));
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
