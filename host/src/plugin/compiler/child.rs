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

use super::{Task, answer};
use crate::plugin::artifact::{MAX_BYTES, examine, make};
use crate::plugin::engine::Engines;

/// The least priority that there is: everything else goes first.
const LOWEST: i32 = 19;
/// Files that may be open at once: its three pipes, and what the standard library looks into when it counts CPUs.
const FILES: u64 = 16;

/// Does its task with what stands on standard input, within `memory` bytes of address space and `cpu` seconds of CPU time, which
/// it imposes on the calling process for good. To be called first thing, by a program that does nothing else.
pub fn main(memory: u64, cpu: u64) -> ExitCode {
    let done = confine(memory, cpu).map_err(|error| format!("limits cannot be set: {error}")).and_then(|()| work());
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
    limit(Resource::Core, 0, 0)?;
    limit(Resource::Fsize, 0, 0)?;
    limit(Resource::Nofile, FILES, FILES)?;
    // The signal that can be told from others comes at the first number, the end at the second.
    limit(Resource::Cpu, cpu, cpu.saturating_add(1))?;
    limit(Resource::As, memory, memory)?;
    // Only for who looks at processes: of no consequence where it is refused.
    let _ = set_name(c"barnabas-compil");
    setpriority_process(None, LOWEST)
}

/// Not above what somebody else has set.
fn limit(resource: Resource, current: u64, maximum: u64) -> rustix::io::Result<()> {
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    setrlimit(resource, Rlimit { current: Some(current.min(most)), maximum: Some(maximum.min(most)) })
}

fn work() -> Result<(), String> {
    let engines = Engines::for_compiling().map_err(|error| format!("the engine does not start: {error:#}"))?;
    let (mut task, mut bytes, mut input) = ([0], Vec::new(), io::stdin().lock());
    let read = input.read_exact(&mut task).and_then(|()| input.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot read the artifact: {error}"))?;
    let [task] = task;
    let task =
        Task::from_byte(task).ok_or("it is given a task that it does not know; its host is of another release")?;
    if bytes.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes, which is the most of an artifact"));
    }
    let (inspection, done) = match task {
        Task::Examine => {
            let (inspection, sound) = examine(&bytes);
            (inspection, sound.map(|_| None))
        }
        Task::Compile => {
            let (inspection, code) = make(&engines.on_demand, &bytes);
            (inspection, code.map(Some))
        }
    };
    answer::write(&mut io::stdout().lock(), engines.fingerprint(), inspection, done)
}
