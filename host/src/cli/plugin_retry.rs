//! `barnabas plugin retry`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{change, host};

/// Flags of `plugin retry`.
#[derive(Args)]
#[command(after_help = change::EXIT)]
pub(crate) struct Flags {
    /// The plugin.
    name: String,
    #[command(flatten)]
    plan: change::PlanFlags,
    #[command(flatten)]
    host: host::HostFlags,
}

/// Asks and waits for the outcome.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let body = json!({ "plan": flags.plan.plan() });
    change::of(&flags.host, &flags.host.client()?, &flags.name, "retry", &body)
}
