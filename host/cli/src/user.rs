//! `barnabas user`: manages the users of SCRAM and PLAIN authentication.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use barnabas_auth::users::{Users, edit};
use clap::Args;

/// Flags of every `user` command.
#[derive(Args)]
pub(crate) struct UsersFileArgs {
    /// Users file, as named by `users` in `[listener.sasl]`.
    #[arg(long, value_name = "FILE", default_value = "users.toml")]
    pub(crate) file: PathBuf,
}

impl UsersFileArgs {
    /// The content of the file; empty if it does not exist.
    pub(crate) fn text(&self) -> Result<String> {
        match std::fs::read_to_string(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            text => text.with_context(|| format!("cannot read the users file {}", self.file.display())),
        }
    }

    /// Replaces the content of the file, after validating it, and prints the path. A lock serializes concurrent commands.
    pub(crate) fn change(&self, change: impl FnOnce(&str) -> Result<String, String>) -> Result<()> {
        let path = self.file.display();
        let _lock =
            edit::lock(&self.file).with_context(|| format!("cannot lock the directory of the users file {path}"))?;
        let text = change(&self.text()?).map_err(|why| anyhow::anyhow!("{path}: {why}"))?;
        parse_users(&self.file, &text)?;
        let written = edit::write(&self.file, &text).with_context(|| format!("cannot write the users file {path}"))?;
        outln!("wrote {}", written.display());
        Ok(())
    }
}

/// Parses the content of a users file.
pub(crate) fn parse_users(file: &Path, text: &str) -> Result<Users> {
    Users::read(file, text).map_err(anyhow::Error::msg)
}
