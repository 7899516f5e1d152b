//! Flags, and one file a command.

mod compile;
mod config;
mod host;
mod logging;
mod plugin_check;
mod plugin_list;
mod plugin_run;
mod serve;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Hosts sandboxed WebAssembly receivers of Kafka client telemetry (KIP-714).
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take pushes and hand them to the receivers in plugins.d.
    Serve(ConfigFile),
    /// Print the effective configuration, and what clients will be told as this host's address.
    Config(ConfigFile),
    /// Look at receivers, or try one.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Compile one receiver from standard input to standard output, for the host that starts this.
    #[command(hide = true)]
    Compile(compile::Flags),
}

/// Where the configuration is.
#[derive(Args)]
pub(crate) struct ConfigFile {
    /// A TOML file; without one, everything has a default: loopback listeners and ./plugins.d.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Plugin {
    /// The receivers of plugins.d: what is wanted and, when a host runs, what it says of each.
    List(plugin_list::Flags),
    /// Read a receiver without running it: contract version, imports by class, size, problems in words.
    Check(plugin_check::Flags),
    /// Run one batch through a receiver without any cluster: outcome, logs, requests, CPU and memory.
    Run(plugin_run::Flags),
}

/// Runs a command; the exit code says how it went.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Serve(flags) => serve::run(&flags),
        Command::Config(flags) => config::run(&flags),
        Command::Plugin(Plugin::List(flags)) => plugin_list::run(&flags),
        Command::Plugin(Plugin::Check(flags)) => plugin_check::run(&flags),
        Command::Plugin(Plugin::Run(flags)) => plugin_run::run(&flags),
        Command::Compile(flags) => Ok(compile::run(&flags)),
    }
}
