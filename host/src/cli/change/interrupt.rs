//! Ctrl-C while a change is waited for.

use std::thread;

use anyhow::{Context as _, Result};

/// What a shell expects of a command that ended at SIGINT.
const INTERRUPTED: i32 = 130;

/// From now on, Ctrl-C ends this command with the words that the change goes on. `hint` says where to look and how to
/// end it. The thread ends with the process.
pub(super) fn watch(hint: String) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.context("cannot listen for Ctrl-C")?;
    thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            eprintln!("\nthe change goes on: {hint}");
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
