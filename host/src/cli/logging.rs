//! Log lines: for people on a terminal, JSON when asked. They go to standard error; standard output is for results.

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use barnabas::config::raw::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for the life of the process.
pub(crate) fn start(log: &LogConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&log.level)
        .with_context(|| format!("`log.level` is `{}`: write a level such as `info`, or directives", log.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would say with `eprintln!` that standard error cannot be written to, and panic: in a listener, for example.
    let builder = builder.log_internal_errors(false);
    match log.format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).init(),
    }
    Ok(())
}
