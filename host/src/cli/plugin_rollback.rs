//! `barnabas plugin rollback`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin rollback`.
#[derive(Args)]
#[command(after_help = change::EXIT)]
pub(crate) struct Flags {
    /// The plugin.
    name: String,
    /// The generation to go back to; without one, the one before that which serves.
    #[arg(long, value_name = "GENERATION")]
    to: Option<u64>,
    #[command(flatten)]
    host: host::HostFlags,
}

/// Asks and waits for the outcome.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let body = flags.to.map_or_else(|| json!({}), |to| json!({ "to": to }));
    change::of(&flags.host, &flags.host.client()?, &flags.name, "rollback", &body)
}
