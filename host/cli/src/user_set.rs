//! `barnabas user set`.

mod password;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use barnabas_auth::credential::{DEFAULT_ITERATIONS, ITERATIONS, ScramCredential};
use barnabas_auth::hash::ScramHash;
use barnabas_auth::users::{check_name, edit};
use clap::{Args, ValueEnum};

use super::user::UsersFileArgs;

/// Flags of `user set`.
#[derive(Args)]
pub(crate) struct UserSetArgs {
    /// Name of the user, without `User:`.
    name: String,
    #[command(flatten)]
    file: UsersFileArgs,
    /// SCRAM mechanism of the user, in addition to PLAIN. Can be repeated. Default: both. Other credentials are removed.
    #[arg(long, value_enum, ignore_case = true)]
    mechanism: Vec<ScramMechanism>,
    /// Iterations of the password hash.
    #[arg(long, default_value_t = DEFAULT_ITERATIONS, value_parser = iterations())]
    iterations: u32,
    /// Read the password from the first line of this file; `-` is standard input. Default: prompt for it.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// A SCRAM mechanism.
#[derive(Clone, Copy, ValueEnum)]
enum ScramMechanism {
    #[value(name = "SCRAM-SHA-256")]
    Sha256,
    #[value(name = "SCRAM-SHA-512")]
    Sha512,
}

impl ScramMechanism {
    fn hash(self) -> ScramHash {
        match self {
            Self::Sha256 => ScramHash::Sha256,
            Self::Sha512 => ScramHash::Sha512,
        }
    }
}

fn iterations() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(i64::from(*ITERATIONS.start())..=i64::from(*ITERATIONS.end()))
}

/// Writes the user's credentials. The password itself is not stored.
pub(crate) fn run(flags: &UserSetArgs) -> Result<ExitCode> {
    check_name(&flags.name).map_err(anyhow::Error::msg)?;
    // Fails before the prompt for a password if the file cannot be read.
    flags.file.text()?;
    let password = password::read(flags.password_file.as_deref())?;
    let wanted =
        |hash: &ScramHash| flags.mechanism.is_empty() || flags.mechanism.iter().any(|each| each.hash() == *hash);
    let credentials = ScramHash::ALL.into_iter().filter(wanted);
    let credentials: Result<Vec<_>, _> =
        credentials.map(|hash| ScramCredential::from_password(hash, &password, flags.iterations)).collect();
    let credentials = credentials.map_err(anyhow::Error::msg)?;
    flags.file.change(|text| edit::set(text, &flags.name, &credentials))?;
    Ok(ExitCode::SUCCESS)
}
