//! Reads the file of a receiver, for every command that takes one.

use std::path::Path;

use anyhow::{Result, anyhow};
use barnabas_runtime::artifact;

/// How to build a receiver, for authors whose build produced no file.
const BUILD: &str = "build it with `rustup target add wasm32-wasip2` and `cargo build --release --target wasm32-wasip2`, \
                     with crate-type = [\"cdylib\"] under [lib] in Cargo.toml; cargo writes it to \
                     target/wasm32-wasip2/release";

/// Returns the content of the file. The error is one sentence.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    artifact::read(file).map_err(|problem| {
        // The name may be wrong, or the build may have produced only a library: both look the same here.
        if file.exists() { anyhow!(problem) } else { anyhow!("{problem}; {BUILD}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_reported_with_build_instructions() {
        let said = read(Path::new("/nowhere/tally.wasm")).unwrap_err().to_string();
        assert!(said.starts_with("cannot read /nowhere/tally.wasm: No such file"), "{said}");
        for word in ["rustup target add wasm32-wasip2", "crate-type = [\"cdylib\"]", "target/wasm32-wasip2/release"] {
            assert!(said.contains(word), "{said}");
        }
        let folder = read(Path::new("/")).unwrap_err().to_string();
        assert!(!folder.contains("rustup"), "{folder}");
    }
}
