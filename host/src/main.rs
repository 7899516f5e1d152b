//! The `barnabas` command.
// Both panic where nobody reads any more; `cli::output` has the macros that do not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            errln!("barnabas: {error:#}");
            ExitCode::FAILURE
        }
    }
}
