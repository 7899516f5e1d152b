//! The `barnabas` command: its arguments, and one module per subcommand.
// Both panic when standard output is closed; `output` has the macros that do not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

// Declared first, because the other modules use its macros.
#[macro_use]
mod output;

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
    /// Run the host: accept pushes from clients and deliver them to the receivers in plugins.d.
    Serve(serve::ServeArgs),
    /// Print the effective configuration, and the addresses advertised to clients.
    Config(ConfigArgs),
    /// Manage plugins on a running host, or try a receiver locally.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Manage client metrics subscriptions (which clients push which metrics, and how often), on any broker.
    #[command(subcommand)]
    Subscription(subscription::SubscriptionCommand),
    /// Inspect the clients of a running host: identity, metrics and problems.
    #[command(subcommand)]
    Client(ClientCommand),
    /// Apply the manifests in plugins.d now. A running host also applies them automatically when they change.
    Reconcile(reconcile::ReconcileArgs),
    /// Show the audit log of a running host: who changed what, and the outcome of each change.
    Audit(audit::AuditArgs),
    /// Manage the users of SCRAM and PLAIN authentication. A running host reloads the file automatically.
    #[command(subcommand)]
    User(UserCommand),
    /// Simulate a fleet of Kafka clients against any broker, and report how many stopped pushing for good.
    Simulate(simulate::SimulateArgs),
    /// Compile a receiver from standard input to standard output. Used by the host as a child process.
    #[command(hide = true)]
    Compile(compile::CompileArgs),
}

#[derive(Subcommand)]
enum UserCommand {
    /// Add a user, or set a new password.
    Set(user_set::UserSetArgs),
    /// Remove a user. Its open connections stay until their sessions end.
    Remove(user_remove::UserRemoveArgs),
    /// List the users and their mechanisms.
    List(user_list::UserListArgs),
}

/// The configuration file, for every command that needs one.
#[derive(Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file in TOML. Without it every key has its default: listeners on loopback, receivers from
    /// ./plugins.d, data in ./data.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum ClientCommand {
    /// List the clients, most recently seen first, with the problems of each.
    List(client_list::ClientListArgs),
    /// Describe a client: identity, requested metrics, sent metrics and problems.
    Describe(client_describe::ClientDescribeArgs),
}

#[derive(Subcommand)]
enum PluginCommand {
    /// List the plugins in plugins.d and, if a host is running, their status.
    List(plugin_list::PluginListArgs),
    /// Describe a plugin: serving generation, health, pending changes, settings, grants and limits.
    Describe(plugin_describe::PluginDescribeArgs),
    /// Print the log lines of a receiver.
    Logs(plugin_logs::PluginLogsArgs),
    /// Load a receiver as a new plugin, and wait until it serves.
    Load(plugin_load::PluginLoadArgs),
    /// Swap to a new generation stage by stage, and wait for the outcome. On failure the old generation keeps serving.
    Swap(plugin_swap::PluginSwapArgs),
    /// Roll back to an earlier generation.
    Rollback(plugin_rollback::PluginRollbackArgs),
    /// Make the serving generation the desired one in the manifest, for example after another version was refused.
    Keep(plugin_verb::PluginVerbArgs),
    /// Retry the desired generation after it failed or was refused, with the shadow and canary of that attempt.
    Retry(plugin_retry::PluginRetryArgs),
    /// Pause a plugin. Its receiver gets no batches; pushes wait in the queue.
    Pause(plugin_verb::PluginVerbArgs),
    /// Resume a paused plugin.
    Resume(plugin_verb::PluginVerbArgs),
    /// Remove a plugin, its manifest and its queue.
    Remove(plugin_remove::PluginRemoveArgs),
    /// Abort the swap in progress. The old generation keeps serving.
    Abort(plugin_verb::PluginVerbArgs),
    /// Inspect a receiver without running it: contract version, imports by class, size and problems.
    Check(plugin_check::PluginCheckArgs),
    /// Run a receiver on batches without a cluster: outcome, logs, requests, CPU and memory.
    Run(plugin_run::PluginRunArgs),
}

/// Runs a command and returns its exit code.
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

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            errln!("barnabas: {error:#}");
            ExitCode::FAILURE
        }
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
    fn help_documents_the_exit_status_of_every_change() {
        for verb in ["load", "swap", "rollback", "keep", "retry", "pause", "resume", "remove", "abort"] {
            let help = Cli::try_parse_from(["barnabas", "plugin", verb, "--help"]).err().unwrap().to_string();
            assert!(help.contains("Exit status:"), "{help}");
        }
    }
}
