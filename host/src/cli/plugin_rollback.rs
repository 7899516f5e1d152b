//! `barnabas plugin rollback`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin rollback`.
#[derive(Args)]
#[command(after_help = change::EXIT_STATUS_HELP)]
pub(crate) struct PluginRollbackArgs {
    /// The plugin.
    name: String,
    /// The generation to go back to. Without one it is the one that served before what the manifest wants: where that
    /// is a version that was refused, nothing is swapped and the manifest is made to want what serves.
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    /// Go back to it although it was refused since.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Asks and waits for the outcome.
pub(crate) fn run(flags: &PluginRollbackArgs) -> Result<ExitCode> {
    let body = json!({ "to": flags.to, "force": flags.force });
    change::change_plugin(&flags.host, &flags.host.client()?, &flags.name, "rollback", &body)
}
