//! `barnabas reconcile`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{change, host};

/// Flags of `reconcile`.
#[derive(Args)]
#[command(after_help = change::EXIT_STATUS_HELP)]
pub(crate) struct ReconcileArgs {
    #[command(flatten)]
    host: host::HostArgs,
}

/// Requests a reconciliation and waits for the outcome.
pub(crate) fn run(flags: &ReconcileArgs) -> Result<ExitCode> {
    change::reconcile(&flags.host, &flags.host.client()?)
}
