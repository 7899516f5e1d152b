//! The `barnabas` command as a process.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The command that `cargo xtask` built in the same folder as this program.
pub fn path() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let folder = here.ancestors().skip(1).find(|folder| folder.join("barnabas").is_file());
    folder
        .unwrap_or_else(|| panic!("no `barnabas` beside {}: run `cargo build -p barnabas-cli`", here.display()))
        .join("barnabas")
}

/// Runs the command until it exits.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(path()).args(arguments).output().unwrap()
}

/// Runs the command, asserts that it succeeds, and returns its standard output.
pub fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "barnabas {arguments:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Runs the command, asserts that it fails, and returns its standard error.
pub fn stderr(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "barnabas {arguments:?} succeeded\n{out}\n{err}");
    err.into_owned()
}
