//! `barnabas plugin describe`.

mod page;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{change, describe, host};

/// Flags of `plugin describe`.
#[derive(Args)]
pub(crate) struct Flags {
    /// The plugin.
    name: String,
    #[command(flatten)]
    host: host::HostFlags,
}

/// Prints what a person wants to know of it; `--json` has everything that the host tells.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let answer = flags.host.client()?.get(&change::path(&flags.name, "")?)?;
    if flags.host.json {
        outln!("{answer}");
    } else {
        out!("{}", page::of(&serde_json::from_str(&answer)?, describe::now()));
    }
    Ok(ExitCode::SUCCESS)
}
