//! Locates the receivers that `cargo xtask guests` builds from source.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Environment variable with the folder of built receivers; xtask sets it, once per Wasm target.
pub const FOLDER_VARIABLE: &str = "BARNABAS_GUESTS";

/// The folder of built receivers: from the environment, otherwise built now.
pub fn folder() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| std::env::var_os(FOLDER_VARIABLE).map_or_else(build, PathBuf::from)).clone()
}

/// For a test that is run directly, without xtask.
fn build() -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new("cargo").args(["xtask", "guests"]).current_dir(root).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "cargo xtask guests: {text}{}", String::from_utf8_lossy(&output.stderr));
    let named = text
        .lines()
        .filter(|line| line.starts_with("wasm32-"))
        .find_map(|line| line.split_once(" in ").map(|(_, folder)| PathBuf::from(folder)));
    named.filter(|folder| folder.is_dir()).unwrap_or_else(|| panic!("cargo xtask guests printed no folder: {text}"))
}

/// Path of a built receiver.
pub fn path(name: &str) -> PathBuf {
    let path = folder().join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} does not exist: run `cargo xtask guests`", path.display());
    path
}
