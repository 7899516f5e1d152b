//! `barnabas plugin swap`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin swap`.
#[derive(Args)]
#[command(after_help = change::EXIT)]
pub(crate) struct Flags {
    /// The plugin.
    name: String,
    /// The new receiver; without one, what serves is started again with other settings, grants or manifest.
    file: Option<PathBuf>,
    #[command(flatten)]
    wanted: change::WantedFlags,
    #[command(flatten)]
    plan: change::PlanFlags,
    #[command(flatten)]
    host: host::HostFlags,
}

/// Hands the artifact over where there is one, asks for a swap, and waits for the outcome.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let client = flags.host.client()?;
    let digest = flags.file.as_ref().map(|file| change::upload(&client, file)).transpose()?;
    let body = json!({ "wanted": flags.wanted.wanted(digest)?, "plan": flags.plan.plan() });
    change::of(&flags.host, &client, &flags.name, "swap", &body)
}
