//! `barnabas user remove`.

use std::process::ExitCode;

use anyhow::Result;
use barnabas::auth::users::edit;
use clap::Args;

use super::user::FileFlags;

/// Flags of `user remove`.
#[derive(Args)]
pub(crate) struct Flags {
    /// The user, without `User:`.
    name: String,
    #[command(flatten)]
    file: FileFlags,
}

/// Takes the user out of the file.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    flags.file.change(|text| edit::remove(text, &flags.name))?;
    Ok(ExitCode::SUCCESS)
}
