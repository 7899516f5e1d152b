//! The file of a receiver, for every command that is given one.

use std::path::Path;

use anyhow::{Result, anyhow};
use barnabas::plugin::artifact;

/// How one comes to be, for an author whose build made none.
const BUILD: &str = "build it with `rustup target add wasm32-wasip2` and `cargo build --release --target wasm32-wasip2`, \
                     with crate-type = [\"cdylib\"] under [lib] in its Cargo.toml; cargo leaves it in \
                     target/wasm32-wasip2/release";

/// All of its bytes. The error is one sentence.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    artifact::read(file).map_err(|problem| {
        // A name that is misspelt, or a build that made a library alone: the two look the same from here.
        if file.exists() { anyhow!(problem) } else { anyhow!("{problem}; {BUILD}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_says_how_it_is_built() {
        let said = read(Path::new("/nowhere/tally.wasm")).unwrap_err().to_string();
        assert!(said.starts_with("cannot read /nowhere/tally.wasm: No such file"), "{said}");
        for word in ["rustup target add wasm32-wasip2", "crate-type = [\"cdylib\"]", "target/wasm32-wasip2/release"] {
            assert!(said.contains(word), "{said}");
        }
        let folder = read(Path::new("/")).unwrap_err().to_string();
        assert!(!folder.contains("rustup"), "{folder}");
    }
}
