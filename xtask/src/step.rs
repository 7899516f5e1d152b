//! Running other programs: one line before, one line after with the time it took, and an error that repeats the command.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs it with our own input and output.
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

/// What it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot run {}", line(command)))?;
    if !output.status.success() {
        bail!("failed ({}): {}", output.status, line(command));
    }
    String::from_utf8(output.stdout).with_context(|| format!("not text: the output of {}", line(command)))
}

/// Runs it for at most so long, and says whether it ended well in time. For what waits for a network that may not be
/// there.
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

/// Runs it in our place.
pub(crate) fn exec(mut command: Command) -> Result<ExitCode> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run {}", line(&command)))
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
