//! `barnabas plugin swap`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin swap`.
#[derive(Args)]
#[command(after_help = change::EXIT_STATUS_HELP)]
pub(crate) struct PluginSwapArgs {
    /// The plugin.
    name: String,
    /// The new receiver; without one, what serves is started again with other settings, grants or manifest.
    file: Option<PathBuf>,
    #[command(flatten)]
    wanted: change::ManifestArgs,
    #[command(flatten)]
    plan: change::RolloutArgs,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Hands the artifact over where there is one, asks for a swap, and waits for the outcome.
pub(crate) fn run(flags: &PluginSwapArgs) -> Result<ExitCode> {
    let client = flags.host.client()?;
    let digest = flags.file.as_ref().map(|file| change::upload(&client, file)).transpose()?;
    let body = json!({ "wanted": flags.wanted.to_overrides(digest)?, "plan": flags.plan.to_rollout() });
    change::change_plugin(&flags.host, &client, &flags.name, "swap", &body)
}
