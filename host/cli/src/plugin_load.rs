//! `barnabas plugin load`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin load`.
#[derive(Args)]
#[command(after_help = change::EXIT_STATUS_HELP)]
pub(crate) struct PluginLoadArgs {
    /// Name of the new plugin.
    name: String,
    /// Receiver file: a component, or a core module built with the SDK.
    file: PathBuf,
    #[command(flatten)]
    wanted: change::ManifestArgs,
    #[command(flatten)]
    plan: change::RolloutArgs,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Uploads the artifact, requests a new plugin and waits for the outcome.
pub(crate) fn run(flags: &PluginLoadArgs) -> Result<ExitCode> {
    let client = flags.host.client()?;
    let wanted = flags.wanted.to_overrides(Some(change::upload(&client, &flags.file)?))?;
    let body = json!({ "wanted": wanted, "plan": flags.plan.to_rollout() });
    change::change_plugin(&flags.host, &client, &flags.name, "load", &body)
}
