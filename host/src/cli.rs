//! Flags, and one file a command.

// First, since the others use its macros.
#[macro_use]
pub(crate) mod output;

mod audit;
mod change;
mod client_describe;
mod client_list;
mod compile;
mod config;
mod describe;
mod host;
mod logging;
mod plugin_check;
mod plugin_describe;
mod plugin_list;
mod plugin_load;
mod plugin_logs;
mod plugin_remove;
mod plugin_retry;
mod plugin_rollback;
mod plugin_run;
mod plugin_swap;
mod plugin_verb;
mod properties;
mod receiver_file;
mod reconcile;
mod serve;
mod settings;
mod simulate;
mod subscription;
mod user;
mod user_list;
mod user_remove;
mod user_set;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Hosts sandboxed WebAssembly receivers of Kafka client telemetry (KIP-714).
#[derive(Parser)]
#[command(name = "barnabas", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host: take pushes from clients and give them to the receivers in plugins.d.
    Serve(serve::Flags),
    /// Print the effective configuration, and the addresses that clients will be told.
    Config(ConfigFile),
    /// Look at receivers, change what runs, or try one.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Look at subscriptions (which clients push what, and how often) or change them, on any broker.
    #[command(subcommand)]
    Subscription(subscription::Subscription),
    /// Look at the clients that a running host knows: who they are, what they send, what is wrong.
    #[command(subcommand)]
    Client(Client),
    /// Have a running host apply the manifests in plugins.d now; it does so by itself when they change.
    Reconcile(reconcile::Flags),
    /// Show who changed what on a running host, and the outcome of each change.
    Audit(audit::Flags),
    /// Manage who may log in with a password (SCRAM, PLAIN); a running host reads the file again by itself.
    #[command(subcommand)]
    User(User),
    /// Play a fleet of Kafka clients against any broker, and report how many stopped pushing for good.
    Simulate(simulate::Flags),
    /// Compile one receiver from standard input to standard output, for the host that starts this.
    #[command(hide = true)]
    Compile(compile::Flags),
}

#[derive(Subcommand)]
enum User {
    /// Add a user, or give one a new password.
    Set(user_set::Flags),
    /// Remove a user; its open connections stay until their sessions end.
    Remove(user_remove::Flags),
    /// List the users, and the mechanisms by which each can log in.
    List(user_list::Flags),
}

/// Where the configuration is.
#[derive(Args)]
pub(crate) struct ConfigFile {
    /// The configuration, a TOML file. Without one every key has its default: listeners on loopback, receivers from
    /// ./plugins.d, data in ./data.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Client {
    /// List the clients, the one heard of last first, with what is wrong with each.
    List(client_list::Flags),
    /// One client: who it is, what it is asked for, what it sends and what is wrong.
    Describe(client_describe::Flags),
}

#[derive(Subcommand)]
enum Plugin {
    /// The receivers of plugins.d: what is wanted and, when a host runs, what it says of each.
    List(plugin_list::Flags),
    /// One plugin: what serves and how it fares, why what is wanted does not, and its settings, grants and limits.
    Describe(plugin_describe::Flags),
    /// The lines that a running receiver wrote.
    Logs(plugin_logs::Flags),
    /// Hand a receiver to a running host as a new plugin, and wait until it serves.
    Load(plugin_load::Flags),
    /// Replace what serves, stage by stage, and wait for the outcome; whatever fails leaves the old one serving.
    Swap(plugin_swap::Flags),
    /// Go back to the generation that served before what is wanted now, or to a named one.
    Rollback(plugin_rollback::Flags),
    /// Have the manifest want what serves, for example after another version was refused.
    Keep(plugin_verb::Flags),
    /// Try once more what the manifest wants, although it failed or was refused; with the shadow and canary that it had.
    Retry(plugin_retry::Flags),
    /// Give a plugin no more batches; pushes wait in its queue.
    Pause(plugin_verb::Flags),
    /// Give a paused plugin batches again.
    Resume(plugin_verb::Flags),
    /// Remove a plugin with its manifest and its queue.
    Remove(plugin_remove::Flags),
    /// End the swap that is under way; the old generation stays.
    Abort(plugin_verb::Flags),
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
        Command::Plugin(plugin) => of_plugin(plugin),
        Command::Subscription(what) => subscription::run(&what),
        Command::Client(Client::List(flags)) => client_list::run(&flags),
        Command::Client(Client::Describe(flags)) => client_describe::run(&flags),
        Command::Reconcile(flags) => reconcile::run(&flags),
        Command::Audit(flags) => audit::run(&flags),
        Command::User(user) => of_user(user),
        Command::Simulate(flags) => simulate::run(&flags),
        Command::Compile(flags) => Ok(compile::run(&flags)),
    }
}

fn of_user(user: User) -> Result<ExitCode> {
    match user {
        User::Set(flags) => user_set::run(&flags),
        User::Remove(flags) => user_remove::run(&flags),
        User::List(flags) => user_list::run(&flags),
    }
}

fn of_plugin(plugin: Plugin) -> Result<ExitCode> {
    match plugin {
        Plugin::List(flags) => plugin_list::run(&flags),
        Plugin::Describe(flags) => plugin_describe::run(&flags),
        Plugin::Logs(flags) => plugin_logs::run(&flags),
        Plugin::Load(flags) => plugin_load::run(&flags),
        Plugin::Swap(flags) => plugin_swap::run(&flags),
        Plugin::Rollback(flags) => plugin_rollback::run(&flags),
        Plugin::Keep(flags) => plugin_verb::run(&flags, "keep"),
        Plugin::Retry(flags) => plugin_retry::run(&flags),
        Plugin::Pause(flags) => plugin_verb::run(&flags, "pause"),
        Plugin::Resume(flags) => plugin_verb::run(&flags, "resume"),
        Plugin::Remove(flags) => plugin_remove::run(&flags),
        Plugin::Abort(flags) => plugin_verb::run(&flags, "abort"),
        Plugin::Check(flags) => plugin_check::run(&flags),
        Plugin::Run(flags) => plugin_run::run(&flags),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_of_every_command_agree_with_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_version_is_that_of_the_command() {
        assert_eq!(Arguments::command().render_version(), format!("barnabas {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn help_tells_the_exit_status_of_every_change() {
        for verb in ["load", "swap", "rollback", "keep", "retry", "pause", "resume", "remove", "abort"] {
            let help = Arguments::try_parse_from(["barnabas", "plugin", verb, "--help"]).err().unwrap().to_string();
            assert!(help.contains("3 rolled back"), "{help}");
        }
    }
}
