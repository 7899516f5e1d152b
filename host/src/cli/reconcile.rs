//! `barnabas reconcile`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{change, host};

/// Flags of `reconcile`.
#[derive(Args)]
#[command(after_help = change::EXIT)]
pub(crate) struct Flags {
    #[command(flatten)]
    host: host::HostFlags,
}

/// Asks and waits for the outcome.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    change::of_all(&flags.host, &flags.host.client()?)
}
