//! The `barnabas` command as a process.

use std::path::PathBuf;
use std::process::{Command, Output};

/// The command that `cargo xtask` built beside this program.
pub fn path() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let folder = here.ancestors().skip(1).find(|folder| folder.join("barnabas").is_file());
    folder
        .unwrap_or_else(|| panic!("no `barnabas` beside {}: run `cargo build -p barnabas-host`", here.display()))
        .join("barnabas")
}

/// Runs it to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(path()).args(arguments).output().unwrap()
}

/// Runs it; gives standard output if it succeeded.
pub fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "barnabas {arguments:?}: {}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// Runs it; gives standard error if it failed.
pub fn stderr(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "barnabas {arguments:?} succeeded\n{out}\n{err}");
    err.into_owned()
}
