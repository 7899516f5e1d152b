//! `barnabas plugin describe`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::{change, describe, host};

/// Flags of `plugin describe`.
#[derive(Args)]
pub(crate) struct Flags {
    /// The plugin.
    name: String,
    #[command(flatten)]
    host: host::HostFlags,
}

/// Prints everything that the host tells of it.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let answer = flags.host.client()?.get(&change::path(&flags.name, "")?)?;
    if flags.host.json {
        outln!("{answer}");
    } else {
        out!("{}", describe::page(&serde_json::from_str::<Value>(&answer)?));
    }
    Ok(ExitCode::SUCCESS)
}
