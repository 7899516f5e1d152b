//! Directories of the workspace.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step;

/// The workspace.
pub(crate) struct Project {
    /// The directory of the workspace's manifest.
    pub(crate) root: PathBuf,
    /// The target directory.
    pub(crate) target: PathBuf,
}

impl Project {
    /// Queries cargo, since the environment or the configuration can change the target directory.
    pub(crate) fn find() -> Result<Self> {
        // Read at run time: two checkouts may share a target directory, and thus this program.
        let here =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = here.parent().context("xtask is not in a workspace")?.to_owned();
        let mut metadata = Command::new(cargo_program());
        metadata.args(["metadata", "--no-deps", "--format-version=1"]).current_dir(&root);
        let metadata: serde_json::Value = serde_json::from_str(&step::output(&mut metadata)?)?;
        let target = metadata.get("target_directory").and_then(|value| value.as_str());
        Ok(Self { root, target: target.context("the output of cargo metadata has no target_directory")?.into() })
    }

    /// Cargo in the root of the workspace.
    pub(crate) fn cargo(&self) -> Command {
        crate::command(cargo_program(), self)
    }
}

fn cargo_program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
