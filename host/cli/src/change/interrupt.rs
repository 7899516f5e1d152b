//! Ctrl-C while the command waits for a change.

use std::thread;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

/// Exit status of a command that SIGINT ended, by the convention of shells.
const INTERRUPTED: i32 = 130;

/// From now on, Ctrl-C ends this command with a message that the change continues on the host. `hint` says how to follow
/// and how to abort the change. The thread ends with the process.
pub(super) fn exit_on_ctrl_c(hint: String) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.context("cannot listen for Ctrl-C")?;
    // Registered before the request is sent: otherwise a Ctrl-C in between would end the command without the message.
    let within = runtime.enter();
    let mut interrupts = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    drop(within);
    thread::spawn(move || {
        if runtime.block_on(interrupts.recv()).is_some() {
            errln!("\nthe change continues on the host: {hint}");
            std::process::exit(INTERRUPTED);
        }
    });
    Ok(())
}
