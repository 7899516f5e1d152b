//! `barnabas user list`.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use super::format::{escape, table};
use super::user::{UsersFileArgs, parse_users};

/// Flags of `user list`.
#[derive(Args)]
pub(crate) struct UserListArgs {
    #[command(flatten)]
    file: UsersFileArgs,
}

/// Prints the users and their credentials.
pub(crate) fn run(flags: &UserListArgs) -> Result<ExitCode> {
    let file = &flags.file.file;
    ensure!(file.exists(), "the users file {} does not exist; create it with `barnabas user set NAME`", file.display());
    let users = parse_users(file, &flags.file.text()?)?;
    let rows = users.iter().map(|(name, credentials)| {
        let each = credentials.iter().map(|has| format!("{} ({})", has.hash().key(), has.iterations()));
        vec![escape(name), each.collect::<Vec<_>>().join(", ")]
    });
    out!("{}", table(&["user", "credentials (iterations)"], rows));
    Ok(ExitCode::SUCCESS)
}
