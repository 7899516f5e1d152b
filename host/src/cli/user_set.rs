//! `barnabas user set`.

mod password;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use barnabas::auth::credential::{DEFAULT_ITERATIONS, ITERATIONS, ScramCredential};
use barnabas::auth::hash::ScramHash;
use barnabas::auth::users::{check_name, edit};
use clap::{Args, ValueEnum};

use super::user::UsersFileArgs;

/// Flags of `user set`.
#[derive(Args)]
pub(crate) struct UserSetArgs {
    /// The user, without `User:`.
    name: String,
    #[command(flatten)]
    file: UsersFileArgs,
    /// What the user can log in with, besides PLAIN; more than one may be named. Default: both. The others are removed.
    #[arg(long, value_enum, ignore_case = true)]
    mechanism: Vec<ScramMechanism>,
    /// How often the password is hashed.
    #[arg(long, default_value_t = DEFAULT_ITERATIONS, value_parser = iterations())]
    iterations: u32,
    /// The first line of this file is the password; `-` is standard input. Default: it is asked for.
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

/// Writes the user's credentials; the password itself is kept nowhere.
pub(crate) fn run(flags: &UserSetArgs) -> Result<ExitCode> {
    check_name(&flags.name).map_err(anyhow::Error::msg)?;
    // Somebody is asked only if there is a use for the answer.
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
