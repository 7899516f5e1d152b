//! The `barnabas` command.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("barnabas: {error:#}");
            ExitCode::FAILURE
        }
    }
}
