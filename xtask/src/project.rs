//! Where things are.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::step;

/// The workspace.
pub(crate) struct Project {
    /// The folder of the workspace's manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

impl Project {
    /// Asks cargo, since the target folder may have been moved by environment or configuration.
    pub(crate) fn find() -> Result<Self> {
        // As cargo says at run time: two checkouts may share a target folder, and with it this program.
        let here =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = here.parent().context("xtask stands in the workspace")?.to_owned();
        let mut metadata = Command::new(cargo_program());
        metadata.args(["metadata", "--no-deps", "--format-version=1"]).current_dir(&root);
        let metadata: serde_json::Value = serde_json::from_str(&step::output(&mut metadata)?)?;
        let target = metadata.get("target_directory").and_then(|value| value.as_str());
        Ok(Self { root, target: target.context("cargo metadata names no target_directory")?.into() })
    }

    /// Cargo, in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        crate::command(cargo_program(), self)
    }
}

fn cargo_program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
