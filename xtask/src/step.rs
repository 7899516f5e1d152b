//! Runs programs, and prints a line before and a line after with the duration. Errors include the command.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs a program with inherited input and output.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    println!("── {what}");
    let begin = Instant::now();
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{what}: failed ({status}); the command was: {}", line(command));
    }
    println!("── {what}: done, {:.1} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a program and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {}", line(command)))?;
    if !output.status.success() {
        bail!("failed ({}): {}", output.status, line(command));
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of {} is not UTF-8", line(command)))
}

/// Runs a program for at most `limit`, and returns whether it succeeded in time. For programs that wait for a network that
/// may be unavailable.
pub(crate) fn run_at_most(limit: Duration, command: &mut Command) -> Result<bool> {
    let begin = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot run {}", line(command)))?;
    while begin.elapsed() < limit {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}

/// Replaces this process by a program.
pub(crate) fn exec(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", line(&command)))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
