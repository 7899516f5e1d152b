//! Changes: asked for, waited for, and shown as they pass.

mod interrupt;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use barnabas::admin::client::AdminClient;
use barnabas::plugin::change::{ChangeOutcome, Plan, Step, Wanted};
use barnabas::plugin::digest::Digest;
use barnabas::units::{ByteSize, HumanDuration, Percent};
use clap::Args;
use serde_json::Value;

use super::{host, receiver_file, settings};

/// What `--help` says of the exit status.
pub(crate) const EXIT_STATUS_HELP: &str = "Exit status: 0 done (or there was nothing to do), 1 it failed or was refused, \
3 rolled back after it was found worse under traffic, 4 too little traffic to judge it by, 5 aborted, 130 this command \
was interrupted and the change goes on, 141 nobody read its output any more and the change goes on. After all but 0, 130 \
and 141, what served before serves.";

/// What a plugin is to be; what is not said stays as its manifest has it.
#[derive(Args)]
pub(crate) struct ManifestArgs {
    /// A setting to add or replace: `endpoint=http://…`, `headers.authorization=…`. The value is read as JSON where it is
    /// JSON, else as text: write text that looks like a number as 'token="12345"'. `null` removes the setting.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// A limit of each instance, or how many there are: `memory=32MiB`, `cpu=500ms`, `deadline=10s`, `start=3s`,
    /// `stop=1s`, `instances=4`, `requests=8`; `null` is the default again.
    #[arg(long = "limit", value_name = "KEY=VALUE")]
    limits: Vec<String>,
    /// A destination to grant beside those that are granted.
    #[arg(long, value_name = "HOST:PORT")]
    grant_http: Vec<String>,
    /// A network that granted destinations may lie in although it is private, beside those that are granted.
    #[arg(long = "grant-address", alias = "grant-addresses", value_name = "NETWORK")]
    grant_addresses: Vec<String>,
    /// Let a granted destination be a Kafka or OTLP listener of the host itself.
    #[arg(long)]
    grant_own_listeners: bool,
    /// How much state to grant, such as `1MiB`.
    #[arg(long, value_name = "SIZE")]
    grant_state: Option<ByteSize>,
    /// How many keys that state may have.
    #[arg(long, value_name = "NUMBER")]
    grant_state_keys: Option<u64>,
    /// A whole manifest to begin from, instead of the one that the host has.
    #[arg(long, value_name = "FILE.toml")]
    manifest: Option<PathBuf>,
}

/// How carefully; what is not said is as the manifest's `[rollout]` has it. A version that was refused has the rollout that
/// it had then.
#[derive(Args)]
pub(crate) struct RolloutArgs {
    /// Give the candidate copies of real batches for so long, nothing leaving the host; `0s` is not at all.
    #[arg(long, value_name = "60s")]
    shadow: Option<HumanDuration>,
    /// Give the candidate this share of the lanes first; `100%` is all at once.
    #[arg(long, value_name = "5%")]
    canary: Option<Percent>,
    /// Do not try the candidate on a few recent pushes first.
    #[arg(long)]
    no_self_test: bool,
}

impl ManifestArgs {
    pub(crate) fn to_overrides(&self, digest: Option<Digest>) -> Result<Wanted> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("cannot read the manifest {}", file.display()))
        };
        let manifest = self.manifest.as_ref().map(read).transpose()?;
        Ok(Wanted {
            digest,
            manifest,
            settings: settings::parse_pairs("--set", &self.settings)?,
            limits: settings::parse_pairs("--limit", &self.limits)?,
            grant_http: self.grant_http.clone(),
            grant_addresses: self.grant_addresses.clone(),
            grant_own_listeners: self.grant_own_listeners.then_some(true),
            grant_state: self.grant_state,
            grant_state_keys: self.grant_state_keys,
        })
    }
}

impl ManifestArgs {
    /// The manifest to begin from.
    pub(crate) fn manifest_path(&self) -> Option<&Path> {
        self.manifest.as_deref()
    }

    /// Whether they say what is granted, be it nothing.
    pub(crate) fn sets_grants(&self) -> bool {
        self.manifest.is_some()
            || !self.grant_http.is_empty()
            || !self.grant_addresses.is_empty()
            || self.grant_own_listeners
            || self.grant_state.is_some()
            || self.grant_state_keys.is_some()
    }
}

impl RolloutArgs {
    pub(crate) fn to_rollout(&self) -> Plan {
        let canary = self.canary.map(Percent::percent);
        Plan { self_test: self.no_self_test.then_some(false), shadow: self.shadow, canary }
    }
}

/// Hands an artifact over, and gives the digest under which the host keeps it.
pub(crate) fn upload(client: &AdminClient, file: &Path) -> Result<Digest> {
    let bytes = receiver_file::read(file)?;
    let answer: Value = serde_json::from_str(&client.post("/v1/artifacts", &bytes)?)?;
    let kept = answer.get("digest").and_then(Value::as_str).context("the host tells no digest")?;
    ensure!(kept == Digest::of(&bytes).to_string(), "the host kept something else: {kept}; try again");
    kept.parse().map_err(anyhow::Error::msg)
}

/// The path of something about a plugin; a name that could be taken for more of the path is refused.
pub(crate) fn plugin_path(name: &str, rest: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !name.is_empty() && name.chars().all(plain),
        "`{name}` cannot be a plugin's name: it is lower-case letters, digits and dashes"
    );
    Ok(format!("/v1/plugins/{name}{rest}"))
}

/// Asks for a change of one plugin and waits for its outcome.
pub(crate) fn change_plugin(
    flags: &host::HostArgs,
    client: &AdminClient,
    name: &str,
    verb: &str,
    body: &Value,
) -> Result<ExitCode> {
    let path = plugin_path(name, &format!("/{verb}"))?;
    interrupt::exit_on_ctrl_c(format!(
        "see `barnabas plugin describe {name}`, end it with `barnabas plugin abort {name}`"
    ))?;
    wait_for_outcome(flags, client, &path, body)
}

/// Asks for a change of all plugins and waits for its outcome.
pub(crate) fn reconcile(flags: &host::HostArgs, client: &AdminClient) -> Result<ExitCode> {
    interrupt::exit_on_ctrl_c("see `barnabas plugin list`, end a swap with `barnabas plugin abort NAME`".into())?;
    wait_for_outcome(flags, client, "/v1/reconcile", &Value::Object(serde_json::Map::new()))
}

fn wait_for_outcome(flags: &host::HostArgs, client: &AdminClient, path: &str, body: &Value) -> Result<ExitCode> {
    let mut last = None;
    for line in client.post_for_lines(path, body.to_string().as_bytes())? {
        let line = line?;
        // A later host may say more than this command knows; what counts is the end.
        let step = serde_json::from_str::<Step>(&line).ok();
        match (&step, flags.json) {
            (_, true) => outln!("{line}"),
            (Some(step), false) => out!("{}", show::format_step(step, path == "/v1/reconcile")),
            (None, false) => {}
        }
        last = step.or(last);
    }
    match last {
        Some(Step::Ended(ending)) => {
            if let (ChangeOutcome::Failed, Some(settings)) = (ending.verdict, body.pointer("/wanted/settings")) {
                settings::type_hints(settings, &ending.message).iter().for_each(|hint| errln!("{hint}"));
            }
            Ok(exit_code(ending.verdict))
        }
        _ => bail!("the host did not tell the outcome; `barnabas plugin list` shows what serves"),
    }
}

fn exit_code(verdict: ChangeOutcome) -> ExitCode {
    match verdict {
        ChangeOutcome::Done | ChangeOutcome::Unchanged => ExitCode::SUCCESS,
        ChangeOutcome::Failed => ExitCode::FAILURE,
        ChangeOutcome::RolledBack => ExitCode::from(3),
        ChangeOutcome::Inconclusive => ExitCode::from(4),
        ChangeOutcome::Aborted => ExitCode::from(5),
    }
}

#[cfg(test)]
mod tests;
