//! `barnabas user`: who may log in with a password.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use barnabas::auth::users::{Users, edit};
use clap::Args;

/// Flags of every `user` command.
#[derive(Args)]
pub(crate) struct UsersFileArgs {
    /// The file of users that `[listener.sasl]` names.
    #[arg(long, value_name = "FILE", default_value = "users.toml")]
    pub(crate) file: PathBuf,
}

impl UsersFileArgs {
    /// What is in it; nothing where there is none.
    pub(crate) fn text(&self) -> Result<String> {
        match std::fs::read_to_string(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            text => text.with_context(|| format!("cannot read the users file {}", self.file.display())),
        }
    }

    /// Puts a new text into its place, if a host can read it, and says where that is. What two commands change at once
    /// is changed by one after the other.
    pub(crate) fn change(&self, change: impl FnOnce(&str) -> Result<String, String>) -> Result<()> {
        let path = self.file.display();
        let _lock =
            edit::lock(&self.file).with_context(|| format!("cannot lock the folder of the users file {path}"))?;
        let text = change(&self.text()?).map_err(|why| anyhow::anyhow!("{path}: {why}"))?;
        parse_users(&self.file, &text)?;
        let written = edit::write(&self.file, &text).with_context(|| format!("cannot write the users file {path}"))?;
        outln!("{} is written", written.display());
        Ok(())
    }
}

/// The users of a text.
pub(crate) fn parse_users(file: &Path, text: &str) -> Result<Users> {
    Users::read(file, text).map_err(anyhow::Error::msg)
}
