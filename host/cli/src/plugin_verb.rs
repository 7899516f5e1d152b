//! `barnabas plugin abort`, `keep`, `pause` and `resume`: commands whose only argument is a plugin.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of these commands.
#[derive(Args)]
#[command(after_help = change::EXIT_STATUS_HELP)]
pub(crate) struct PluginVerbArgs {
    /// Name of the plugin.
    name: String,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Requests the change and waits for the outcome.
pub(crate) fn run(flags: &PluginVerbArgs, verb: &str) -> Result<ExitCode> {
    change::change_plugin(&flags.host, &flags.host.client()?, &flags.name, verb, &json!({}))
}
