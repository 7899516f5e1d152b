//! `barnabas plugin load`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin load`.
#[derive(Args)]
#[command(after_help = change::EXIT)]
pub(crate) struct Flags {
    /// The plugin.
    name: String,
    /// The receiver: a component, or a core module built with the SDK.
    file: PathBuf,
    #[command(flatten)]
    wanted: change::WantedFlags,
    #[command(flatten)]
    plan: change::PlanFlags,
    #[command(flatten)]
    host: host::HostFlags,
}

/// Hands the artifact over, asks for a new plugin of it, and waits for the outcome.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let client = flags.host.client()?;
    let wanted = flags.wanted.wanted(Some(change::upload(&client, &flags.file)?))?;
    let body = json!({ "wanted": wanted, "plan": flags.plan.plan() });
    change::of(&flags.host, &client, &flags.name, "load", &body)
}
