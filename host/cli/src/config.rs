//! `barnabas config`.

use std::process::ExitCode;

use anyhow::Result;
use barnabas::config::{Config, advertised_addresses, print};

use super::ConfigArgs;

/// Prints the effective configuration as TOML that `--config` accepts, and the advertised addresses as comments.
pub(crate) fn run(flags: &ConfigArgs) -> Result<ExitCode> {
    let (written, config) = Config::load(flags.config.as_deref())?;
    out!("{}", print(&written)?);
    outln!();
    for line in advertised_addresses(&config) {
        outln!("# {line}");
    }
    Ok(ExitCode::SUCCESS)
}
