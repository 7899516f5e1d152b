//! `barnabas plugin remove`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin remove`.
#[derive(Args)]
#[command(after_help = change::EXIT_STATUS_HELP)]
pub(crate) struct PluginRemoveArgs {
    /// Name of the plugin.
    name: String,
    /// Also delete the state of the receiver.
    #[arg(long)]
    forget_state: bool,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Requests the removal and waits for the outcome.
pub(crate) fn run(flags: &PluginRemoveArgs) -> Result<ExitCode> {
    let body = json!({ "forget_state": flags.forget_state });
    change::change_plugin(&flags.host, &flags.host.client()?, &flags.name, "remove", &body)
}
