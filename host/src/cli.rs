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
mod format;
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
mod time;
mod user;
mod user_list;
mod user_remove;
mod user_set;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Hosts sandboxed WebAssembly receivers of Kafka client telemetry (KIP-714).
#[derive(Parser)]
#[command(name = "barnabas", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Run the host: take pushes from clients and give them to the receivers in plugins.d.
    Serve(serve::ServeArgs),
    /// Print the effective configuration, and the addresses that clients will be told.
    Config(ConfigArgs),
    /// Look at receivers, change what runs, or try one.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Look at subscriptions (which clients push what, and how often) or change them, on any broker.
    #[command(subcommand)]
    Subscription(subscription::SubscriptionCommand),
    /// Look at the clients that a running host knows: who they are, what they send, what is wrong.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Have a running host apply the manifests in plugins.d now; it does so by itself when they change.
    Reconcile(reconcile::ReconcileArgs),
    /// Show who changed what on a running host, and the outcome of each change.
    Audit(audit::AuditArgs),
    /// Manage who may log in with a password (SCRAM, PLAIN); a running host reads the file again by itself.
    #[command(subcommand)]
    User(UserCommand),
    /// Play a fleet of Kafka clients against any broker, and report how many stopped pushing for good.
    Simulate(simulate::SimulateArgs),
    /// Compile one receiver from standard input to standard output, for the host that starts this.
    #[command(hide = true)]
    Compile(compile::CompileArgs),
}

#[derive(Subcommand)]
enum UserCommand {
    /// Add a user, or give one a new password.
    Set(user_set::UserSetArgs),
    /// Remove a user; its open connections stay until their sessions end.
    Remove(user_remove::UserRemoveArgs),
    /// List the users, and the mechanisms by which each can log in.
    List(user_list::UserListArgs),
}

/// Where the configuration is.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    /// The configuration, a TOML file. Without one every key has its default: listeners on loopback, receivers from
    /// ./plugins.d, data in ./data.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum ClientCommand {
    /// List the clients, the one heard of last first, with what is wrong with each.
    List(client_list::ClientListArgs),
    /// One client: who it is, what it is asked for, what it sends and what is wrong.
    Describe(client_describe::ClientDescribeArgs),
}

#[derive(Subcommand)]
enum PluginCommand {
    /// The receivers of plugins.d: what is wanted and, when a host runs, what it says of each.
    List(plugin_list::PluginListArgs),
    /// One plugin: what serves and how it fares, why what is wanted does not, and its settings, grants and limits.
    Describe(plugin_describe::PluginDescribeArgs),
    /// The lines that a running receiver wrote.
    Logs(plugin_logs::PluginLogsArgs),
    /// Hand a receiver to a running host as a new plugin, and wait until it serves.
    Load(plugin_load::PluginLoadArgs),
    /// Replace what serves, stage by stage, and wait for the outcome; whatever fails leaves the old one serving.
    Swap(plugin_swap::PluginSwapArgs),
    /// Go back to the generation that served before what is wanted now, or to a named one.
    Rollback(plugin_rollback::PluginRollbackArgs),
    /// Have the manifest want what serves, for example after another version was refused.
    Keep(plugin_verb::PluginVerbArgs),
    /// Try once more what the manifest wants, although it failed or was refused; with the shadow and canary that it had.
    Retry(plugin_retry::PluginRetryArgs),
    /// Give a plugin no more batches; pushes wait in its queue.
    Pause(plugin_verb::PluginVerbArgs),
    /// Give a paused plugin batches again.
    Resume(plugin_verb::PluginVerbArgs),
    /// Remove a plugin with its manifest and its queue.
    Remove(plugin_remove::PluginRemoveArgs),
    /// End the swap that is under way; the old generation stays.
    Abort(plugin_verb::PluginVerbArgs),
    /// Read a receiver without running it: contract version, imports by class, size, problems in words.
    Check(plugin_check::PluginCheckArgs),
    /// Run one batch through a receiver without any cluster: outcome, logs, requests, CPU and memory.
    Run(plugin_run::PluginRunArgs),
}

/// Runs a command; the exit code says how it went.
pub(crate) fn run(arguments: Cli) -> Result<ExitCode> {
    match arguments.command {
        CliCommand::Serve(flags) => serve::run(&flags),
        CliCommand::Config(flags) => config::run(&flags),
        CliCommand::Plugin(plugin) => run_plugin(plugin),
        CliCommand::Subscription(what) => subscription::run(&what),
        CliCommand::Client(ClientCommand::List(flags)) => client_list::run(&flags),
        CliCommand::Client(ClientCommand::Describe(flags)) => client_describe::run(&flags),
        CliCommand::Reconcile(flags) => reconcile::run(&flags),
        CliCommand::Audit(flags) => audit::run(&flags),
        CliCommand::User(user) => run_user(user),
        CliCommand::Simulate(flags) => simulate::run(&flags),
        CliCommand::Compile(flags) => Ok(compile::run(&flags)),
    }
}

fn run_user(user: UserCommand) -> Result<ExitCode> {
    match user {
        UserCommand::Set(flags) => user_set::run(&flags),
        UserCommand::Remove(flags) => user_remove::run(&flags),
        UserCommand::List(flags) => user_list::run(&flags),
    }
}

fn run_plugin(plugin: PluginCommand) -> Result<ExitCode> {
    match plugin {
        PluginCommand::List(flags) => plugin_list::run(&flags),
        PluginCommand::Describe(flags) => plugin_describe::run(&flags),
        PluginCommand::Logs(flags) => plugin_logs::run(&flags),
        PluginCommand::Load(flags) => plugin_load::run(&flags),
        PluginCommand::Swap(flags) => plugin_swap::run(&flags),
        PluginCommand::Rollback(flags) => plugin_rollback::run(&flags),
        PluginCommand::Keep(flags) => plugin_verb::run(&flags, "keep"),
        PluginCommand::Retry(flags) => plugin_retry::run(&flags),
        PluginCommand::Pause(flags) => plugin_verb::run(&flags, "pause"),
        PluginCommand::Resume(flags) => plugin_verb::run(&flags, "resume"),
        PluginCommand::Remove(flags) => plugin_remove::run(&flags),
        PluginCommand::Abort(flags) => plugin_verb::run(&flags, "abort"),
        PluginCommand::Check(flags) => plugin_check::run(&flags),
        PluginCommand::Run(flags) => plugin_run::run(&flags),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_of_every_command_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_version_is_that_of_the_command() {
        assert_eq!(Cli::command().render_version(), format!("barnabas {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn help_tells_the_exit_status_of_every_change() {
        for verb in ["load", "swap", "rollback", "keep", "retry", "pause", "resume", "remove", "abort"] {
            let help = Cli::try_parse_from(["barnabas", "plugin", verb, "--help"]).err().unwrap().to_string();
            assert!(help.contains("3 rolled back"), "{help}");
        }
    }
}
