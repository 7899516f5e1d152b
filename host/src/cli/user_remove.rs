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
    let text = edit::remove(&flags.file.text()?, &flags.name)
        .map_err(|why| anyhow::anyhow!("{}: {why}", flags.file.file.display()))?;
    flags.file.write(&text)?;
    Ok(ExitCode::SUCCESS)
}
