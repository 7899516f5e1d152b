//! `barnabas plugin retry`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin retry`.
#[derive(Args)]
#[command(after_help = change::EXIT_STATUS_HELP)]
pub(crate) struct PluginRetryArgs {
    /// Name of the plugin.
    name: String,
    #[command(flatten)]
    plan: change::RolloutArgs,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Requests the retry and waits for the outcome.
pub(crate) fn run(flags: &PluginRetryArgs) -> Result<ExitCode> {
    let body = json!({ "plan": flags.plan.to_rollout() });
    change::change_plugin(&flags.host, &flags.host.client()?, &flags.name, "retry", &body)
}
