//! `barnabas user remove`.

use std::process::ExitCode;

use anyhow::Result;
use barnabas_auth::users::edit;
use clap::Args;

use super::user::UsersFileArgs;

/// Flags of `user remove`.
#[derive(Args)]
pub(crate) struct UserRemoveArgs {
    /// Name of the user, without `User:`.
    name: String,
    #[command(flatten)]
    file: UsersFileArgs,
}

/// Removes the user from the file.
pub(crate) fn run(flags: &UserRemoveArgs) -> Result<ExitCode> {
    flags.file.change(|text| edit::remove(text, &flags.name))?;
    Ok(ExitCode::SUCCESS)
}
