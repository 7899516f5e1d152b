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
    /// Name of the plugin.
    name: String,
    /// Generation to roll back to. Default: the one that served before the desired generation. If the desired generation
    /// was refused, nothing is swapped: the serving generation becomes the desired one in the manifest.
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    /// Roll back even if the generation was refused later.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Requests the rollback and waits for the outcome.
pub(crate) fn run(flags: &PluginRollbackArgs) -> Result<ExitCode> {
    let body = json!({ "to": flags.to, "force": flags.force });
    change::change_plugin(&flags.host, &flags.host.client()?, &flags.name, "rollback", &body)
}
