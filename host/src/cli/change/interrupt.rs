//! Ctrl-C while a change is waited for.

use std::thread;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

/// What a shell expects of a command that ended at SIGINT.
const INTERRUPTED: i32 = 130;

/// From now on, Ctrl-C ends this command with the words that the change goes on. `hint` says where to look and how to
/// end it. The thread ends with the process.
pub(super) fn exit_on_ctrl_c(hint: String) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.context("cannot listen for Ctrl-C")?;
    // Before anything is asked of a host: a Ctrl-C in between would end this without a word.
    let within = runtime.enter();
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    drop(within);
    thread::spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            errln!("\nthe change goes on: {hint}");
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
