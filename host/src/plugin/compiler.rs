//! From an artifact's bytes to code, in this process or in a child.
//!
//! In: bytes that strangers wrote. Out: an [`Inspection`], then [`Code`], or the [`Flaw`] in them. Nothing can bound or
//! end a compile in the process that does it, so a host has a [`Child`] do it, and has another one read the artifact
//! before that, so that what is wrong with it is known before the long part. A child sets limits on itself before it
//! reads the first byte; it takes its task and the bytes from a pipe, decodes, wraps, checks, compiles where that is its
//! task, answers by a pipe and ends. Bounded in the child's memory, CPU and wall time, and in the bytes of its answer. Never runs a guest. A child
//! that was taken over by what it compiled could lie about the code: it bounds faults and costs, it is no second
//! sandbox.
//!
//! # Embedding
//!
//! The program of a [`Child`] is run as
//!
//! ```text
//! <program> compile --compile-memory <bytes> --compile-cpu <seconds>
//! ```
//!
//! and must then call [`child::main`] with the two numbers, before it does anything else, and end with what that
//! returns. It must be of the same release and features as the host: the host refuses code for another engine. The
//! command `barnabas` is such a program; a host that is one itself names [`Child::this_program`].

pub mod child;
mod child_exit;
mod child_guard;
mod parent;
mod response;

use std::num::NonZero;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::artifact::ArtifactStage;
use super::artifact::{ArtifactError, Inspection, examine, examine_and_compile};
use super::compiled_code::CompiledCode;
use super::engine::Engines;

pub(super) use child_guard::{ChildGuard, KillReason};

/// Most threads a child compiles with. Each has a stack and an arena of the child's address space.
const MAX_THREADS: usize = 4;

/// Who compiles.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// This process. Nothing bounds a compile in it, and nothing ends one: an artifact that takes all memory takes the
    /// host with it.
    #[default]
    InProcess,
    /// A process of its own for each.
    Child(CompileChild),
}

/// A program that compiles; the module's documentation says what it must do.
#[derive(Clone, Debug)]
pub struct CompileChild {
    /// The program.
    pub program: PathBuf,
    /// What it may take, for each of its tasks.
    pub limits: CompileLimits,
}

/// What a child does with the bytes. One byte on its standard input, before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum CompilerTask {
    /// Reads them, and judges them by the contract.
    Examine = b'e',
    /// That, and compiles them.
    Compile = b'c',
}

impl CompilerTask {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Examine, Self::Compile].into_iter().find(|task| *task as u8 == byte)
    }

    /// The stage in which it fails.
    fn stage(self) -> ArtifactStage {
        match self {
            Self::Examine => ArtifactStage::Contract,
            Self::Compile => ArtifactStage::Compile,
        }
    }

    /// The verb, for sentences about the artifact.
    fn verb(self) -> &'static str {
        match self {
            Self::Examine => "read",
            Self::Compile => "compile",
        }
    }

    /// What is done, likewise.
    fn participle(self) -> &'static str {
        match self {
            Self::Examine => "read",
            Self::Compile => "compiled",
        }
    }
}

/// What one child may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the child, in bytes.
    pub memory: u64,
    /// CPU time of all its threads together, in whole seconds (a part of one counts as one).
    pub cpu: Duration,
    /// From start to end.
    pub wall: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory: 4 << 30, cpu: Duration::from_secs(120), wall: Duration::from_secs(180) }
    }
}

impl CompileLimits {
    fn cpu_seconds(&self) -> u64 {
        self.cpu.as_secs() + u64::from(self.cpu.subsec_nanos() > 0)
    }
}

impl CompileChild {
    /// The program that runs now, also when its file was replaced since, with the default limits.
    pub fn this_program() -> Self {
        Self { program: "/proc/self/exe".into(), limits: CompileLimits::default() }
    }

    fn command(&self) -> Command {
        // Half of them: what receives pushes shall not have to wait for a core.
        let threads = (thread::available_parallelism().map_or(1, NonZero::get) / 2).clamp(1, MAX_THREADS);
        let mut command = Command::new(&self.program);
        command
            .arg0("barnabas-compile")
            .arg("compile")
            .args(["--compile-memory", &self.limits.memory.to_string()])
            .args(["--compile-cpu", &self.limits.cpu_seconds().to_string()])
            // A group of its own, so that all of it can be ended, and so that a terminal's Ctrl-C is ours to answer.
            .process_group(0)
            .env_clear()
            .env("RAYON_NUM_THREADS", threads.to_string())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Compiler {
    /// Reads and judges by the contract; blocks as [`Self::compile`] does, for as long as reading takes.
    pub(super) fn examine(
        &self,
        engines: &Engines,
        bytes: &[u8],
        leash: &ChildGuard,
    ) -> Result<Inspection, ArtifactError> {
        match self {
            Self::InProcess => {
                let (inspection, sound) = examine(bytes);
                sound.map(|_| inspection)
            }
            Self::Child(child) => {
                let (inspection, _) =
                    parent::run_child(child, CompilerTask::Examine, engines.fingerprint(), bytes, leash)?;
                Ok(inspection)
            }
        }
    }

    /// Checks and compiles; blocks until that is done or `leash` is cut, which only a child obeys. The thread of this
    /// call must not end before the call does: the child dies with it.
    pub(super) fn compile(
        &self,
        engines: &Engines,
        bytes: &[u8],
        leash: &ChildGuard,
    ) -> Result<(Inspection, CompiledCode), ArtifactError> {
        match self {
            Self::InProcess => {
                let (inspection, code) = examine_and_compile(&engines.on_demand, bytes);
                code.map(|code| (inspection, code))
            }
            Self::Child(child) => {
                let (inspection, code) =
                    parent::run_child(child, CompilerTask::Compile, engines.fingerprint(), bytes, leash)?;
                let none = || ArtifactError::new(ArtifactStage::Compile, "its compiler gave no code");
                code.map(|code| (inspection, code)).ok_or_else(none)
            }
        }
    }
}

#[cfg(test)]
mod tests;
