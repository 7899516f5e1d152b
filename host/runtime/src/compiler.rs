//! Compiles an artifact's bytes to machine code, in this process or in a child process.
//!
//! In: untrusted bytes. Out: an [`Inspection`], then [`CompiledCode`], or the [`ArtifactError`]. A compilation cannot
//! be limited or cancelled within its own process, so a host runs a [`CompileChild`] for it, and another one before
//! that to examine the artifact, so that its problems are known before the long part. A child limits itself before it
//! reads the first byte; it reads its task and the bytes from a pipe, decodes, wraps, checks, compiles if that is its
//! task, writes a response to a pipe and exits. Bounded in the child's memory, CPU and wall time, and in the bytes of
//! its response. Never runs a guest. A child that was compromised by its input could return arbitrary code: the child
//! contains crashes and resource use, it is not a second sandbox.
//!
//! # Embedding
//!
//! The program of a [`CompileChild`] is started as
//!
//! ```text
//! <program> compile --compile-memory <bytes> --compile-cpu <seconds>
//! ```
//!
//! and must then call [`child::main`] with the two numbers, before it does anything else, and exit with the code that
//! this returns. It must be of the same release and features as the host: the host refuses code for another engine. The
//! command `barnabas` is such a program; a host that is one itself uses [`CompileChild::this_program`].

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

/// Maximum number of threads that a child compiles with. Each uses address space for a stack and an allocator arena.
const MAX_THREADS: usize = 4;

/// Which process compiles.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// This process. A compilation in it cannot be limited or cancelled: an artifact that exhausts the memory ends the
    /// host.
    #[default]
    InProcess,
    /// A child process for each artifact.
    Child(CompileChild),
}

/// A program that compiles; the module's documentation describes its requirements.
#[derive(Clone, Debug)]
pub struct CompileChild {
    /// The program.
    pub program: PathBuf,
    /// Its limits, for each task.
    pub limits: CompileLimits,
}

/// The task of a child, sent as one byte on its standard input before the artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum CompilerTask {
    /// Reads the artifact and checks it against the contract.
    Examine = b'e',
    /// Examines and compiles the artifact.
    Compile = b'c',
}

impl CompilerTask {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Examine, Self::Compile].into_iter().find(|task| *task as u8 == byte)
    }

    /// The stage to which a failure of this task belongs.
    fn stage(self) -> ArtifactStage {
        match self {
            Self::Examine => ArtifactStage::Contract,
            Self::Compile => ArtifactStage::Compile,
        }
    }

    /// The verb, for messages about the artifact.
    fn verb(self) -> &'static str {
        match self {
            Self::Examine => "read",
            Self::Compile => "compile",
        }
    }

    /// The past participle, for messages about the artifact.
    fn participle(self) -> &'static str {
        match self {
            Self::Examine => "read",
            Self::Compile => "compiled",
        }
    }
}

/// The resource limits of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the child, in bytes.
    pub memory: u64,
    /// Total CPU time of all its threads, rounded up to whole seconds.
    pub cpu: Duration,
    /// Wall time from its start to its exit.
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
    /// The program of this process, even if its file was replaced since, with the default limits.
    pub fn this_program() -> Self {
        Self { program: "/proc/self/exe".into(), limits: CompileLimits::default() }
    }

    fn command(&self) -> Command {
        // Half of the cores, so that the threads that receive pushes need not wait for one.
        let threads = (thread::available_parallelism().map_or(1, NonZero::get) / 2).clamp(1, MAX_THREADS);
        let mut command = Command::new(&self.program);
        command
            .arg0("barnabas-compile")
            .arg("compile")
            .args(["--compile-memory", &self.limits.memory.to_string()])
            .args(["--compile-cpu", &self.limits.cpu_seconds().to_string()])
            // A separate process group, so that it can be killed as a whole, and so that Ctrl-C reaches only the host.
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
    /// Reads an artifact and checks it against the contract. Blocks like [`Self::compile`].
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

    /// Checks and compiles; blocks until that is done or `guard` kills the child (there is no way to stop a compilation
    /// in this process). The calling thread must outlive this call, because the child is killed when its parent thread
    /// exits.
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
                let none = || ArtifactError::new(ArtifactStage::Compile, "its compiler returned no code");
                code.map(|code| (inspection, code)).ok_or_else(none)
            }
        }
    }
}

#[cfg(test)]
mod tests;
