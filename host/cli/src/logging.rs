//! Logging to standard error, as text or JSON. Standard output is for results.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use barnabas::config::raw::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Initializes logging for the lifetime of the process.
pub(crate) fn start(log: &LogConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .with_context(|| format!("`log.level` is `{}`: use a level such as `info`, or filter directives", log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Otherwise it reports failed writes to standard error with `eprintln!`, which panics, for example in a listener.
    let builder = builder.log_internal_errors(false);
    match log.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
    }
    Ok(())
}
