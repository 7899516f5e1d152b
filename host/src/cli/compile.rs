//! The hidden `compile`: the process in which a host compiles one artifact.

use std::process::ExitCode;

use barnabas::plugin::compiler::child;
use clap::Args;

/// Flags of `compile`.
#[derive(Args)]
pub(crate) struct CompileArgs {
    /// Most bytes of address space.
    #[arg(long = "compile-memory", value_name = "BYTES")]
    memory: u64,
    /// Most seconds of CPU time.
    #[arg(long = "compile-cpu", value_name = "SECONDS")]
    cpu: u64,
}

/// Compiles what stands on standard input.
pub(crate) fn run(flags: &CompileArgs) -> ExitCode {
    child::main(flags.memory, flags.cpu)
}
