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
    /// Name of the plugin.
    name: String,
    /// New receiver file. Without it, the serving artifact is started with the changed settings, grants or manifest.
    file: Option<PathBuf>,
    #[command(flatten)]
    wanted: change::ManifestArgs,
    #[command(flatten)]
    plan: change::RolloutArgs,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Uploads the artifact if one is given, requests a swap and waits for the outcome.
pub(crate) fn run(flags: &PluginSwapArgs) -> Result<ExitCode> {
    let client = flags.host.client()?;
    let digest = flags.file.as_ref().map(|file| change::upload(&client, file)).transpose()?;
    let body = json!({ "wanted": flags.wanted.to_overrides(digest)?, "plan": flags.plan.to_rollout() });
    change::change_plugin(&flags.host, &client, &flags.name, "swap", &body)
}
