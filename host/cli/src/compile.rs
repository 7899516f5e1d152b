//! The hidden command `compile`: the child process in which a host compiles one artifact.

use std::process::ExitCode;

use barnabas_runtime::compiler::child;
use clap::Args;

/// Flags of `compile`.
#[derive(Args)]
pub(crate) struct CompileArgs {
    /// Maximum address space in bytes.
    #[arg(long = "compile-memory", value_name = "BYTES")]
    memory: u64,
    /// Maximum CPU time in seconds.
    #[arg(long = "compile-cpu", value_name = "SECONDS")]
    cpu: u64,
}

/// Compiles the artifact on standard input.
pub(crate) fn run(flags: &CompileArgs) -> ExitCode {
    child::main(flags.memory, flags.cpu)
}
