//! `barnabas plugin describe`.

mod page;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{change, host, time};

/// Flags of `plugin describe`.
#[derive(Args)]
pub(crate) struct PluginDescribeArgs {
    /// Name of the plugin.
    name: String,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Prints a summary of the plugin. `--json` prints everything that the host reports.
pub(crate) fn run(flags: &PluginDescribeArgs) -> Result<ExitCode> {
    let answer = flags.host.client()?.get(&change::plugin_path(&flags.name, "")?)?;
    if flags.host.json {
        outln!("{answer}");
    } else {
        out!("{}", page::render(&serde_json::from_str(&answer)?, time::now()));
    }
    Ok(ExitCode::SUCCESS)
}
