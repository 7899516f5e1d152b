//! Reads a password from a terminal, a pipe or a file. It is never an argument, which every user of the machine could see.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Maximum length of a password in bytes.
const MAX_LENGTH: usize = 1024;

/// Reads the first line of a file or of standard input, or prompts twice on a terminal.
pub(crate) fn read(file: Option<&Path>) -> Result<String> {
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let opened =
                File::open(file).with_context(|| format!("cannot read the password file {}", file.display()))?;
            line(opened)
        }
        None if io::stdin().is_terminal() => ask(),
        None => line(io::stdin()),
    }
}

fn ask() -> Result<String> {
    let _silence = EchoOff::begin()?;
    let password = prompt("password: ")?;
    ensure!(prompt("repeat password: ")? == password, "the passwords do not match; try again");
    Ok(password)
}

fn prompt(words: &str) -> Result<String> {
    err!("{words}");
    let password = line(io::stdin());
    errln!();
    password
}

/// Turns off the echo of the terminal. Also turns off its signals, because an interrupt would leave the terminal without
/// echo.
struct EchoOff;

impl EchoOff {
    fn begin() -> Result<Self> {
        ensure!(
            stty(&["-echo", "-isig"]),
            "the terminal cannot turn off its echo; pipe the password with `--password-file -`"
        );
        Ok(Self)
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        stty(&["echo", "isig"]);
    }
}

fn stty(modes: &[&str]) -> bool {
    Command::new("stty").args(modes).stdin(Stdio::inherit()).status().is_ok_and(|status| status.success())
}

/// Reads one line without reading ahead, so that the second prompt reads the second line.
fn line(from: impl Read) -> Result<String> {
    let mut line = String::new();
    let most = u64::try_from(MAX_LENGTH + 2).unwrap_or(u64::MAX);
    BufReader::with_capacity(1, from.take(most)).read_line(&mut line).context("cannot read the password")?;
    let password = line.strip_suffix('\n').map_or(line.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() || password.len() > MAX_LENGTH || password.contains(char::is_control) {
        bail!("a password must have 1 to {MAX_LENGTH} bytes and no control characters");
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for text in ["s=, ä", "s=, ä\n", "s=, ä\r\n", "s=, ä\nmore\n"] {
            assert_eq!(line(text.as_bytes()).unwrap(), "s=, ä");
        }
    }

    #[test]
    fn length_limit_obeyed() {
        assert_eq!(line(format!("{}\n", "x".repeat(MAX_LENGTH)).as_bytes()).unwrap().len(), MAX_LENGTH);
    }

    #[test]
    fn length_limit_violated() {
        for bad in ["", "\n", "a\x03\n", "a\0b"] {
            assert!(line(bad.as_bytes()).unwrap_err().to_string().contains("1 to 1024 bytes"), "{bad:?}");
        }
        assert!(line("x".repeat(MAX_LENGTH + 1).as_bytes()).is_err());
    }
}
