//! Requests changes of plugins, prints their progress and waits for their outcome.

mod interrupt;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use barnabas_admin::client::AdminClient;
use barnabas_base::digest::Digest;
use barnabas_base::units::{ByteSize, HumanDuration, Percent};
use barnabas_lifecycle::change::{ChangeOutcome, ChangeStep, ManifestPatch, RolloutOverride};
use clap::Args;
use serde_json::Value;

use super::{host, receiver_file, settings};

/// The exit status, for `--help`.
pub(crate) const EXIT_STATUS_HELP: &str = "Exit status: 0 done or nothing to do, 1 failed or refused, 3 rolled back \
because the candidate was worse, 4 inconclusive because of too little traffic, 5 aborted, 130 interrupted and 141 output \
closed (in both cases the change continues on the host). With status 1, 3, 4 and 5 the old generation keeps serving.";

/// Changes to the manifest of a plugin. Values that are not given stay as they are in the manifest.
#[derive(Args)]
pub(crate) struct ManifestArgs {
    /// Add or replace a setting: `endpoint=http://…`, `headers.authorization=…`. The value is parsed as JSON if possible,
    /// else it is text: quote text that looks like a number, as in 'token="12345"'. `null` removes the setting.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Set a limit of each instance, or the number of instances: `memory=32MiB`, `cpu=500ms`, `deadline=10s`,
    /// `start=3s`, `stop=1s`, `instances=4`, `requests=8`. `null` restores the default.
    #[arg(long = "limit", value_name = "KEY=VALUE")]
    limits: Vec<String>,
    /// Grant an additional destination.
    #[arg(long, value_name = "HOST:PORT")]
    grant_http: Vec<String>,
    /// Grant an additional private network to which granted destinations may resolve.
    #[arg(long = "grant-address", alias = "grant-addresses", value_name = "NETWORK")]
    grant_addresses: Vec<String>,
    /// Allow Kafka and OTLP listeners of the host itself as granted destinations.
    #[arg(long)]
    grant_own_listeners: bool,
    /// Grant state of this size, such as `1MiB`.
    #[arg(long, value_name = "SIZE")]
    grant_state: Option<ByteSize>,
    /// Maximum number of keys in the state.
    #[arg(long, value_name = "NUMBER")]
    grant_state_keys: Option<u64>,
    /// Start from this manifest instead of the one on the host.
    #[arg(long, value_name = "FILE.toml")]
    manifest: Option<PathBuf>,
}

/// Overrides of the rollout. Values that are not given come from the manifest's `[rollout]` or, for a version that was
/// refused, from the rollout under which it was refused.
#[derive(Args)]
pub(crate) struct RolloutArgs {
    /// Give the candidate copies of real batches for this time; nothing leaves the host. `0s` disables the shadow.
    #[arg(long, value_name = "60s")]
    shadow: Option<HumanDuration>,
    /// Let the candidate serve this share of the lanes first. `100%` disables the canary.
    #[arg(long, value_name = "5%")]
    canary: Option<Percent>,
    /// Do not run the candidate on a few recent pushes first.
    #[arg(long)]
    no_self_test: bool,
}

impl ManifestArgs {
    pub(crate) fn to_overrides(&self, digest: Option<Digest>) -> Result<ManifestPatch> {
        let read = |file: &PathBuf| {
            std::fs::read_to_string(file).with_context(|| format!("cannot read the manifest {}", file.display()))
        };
        let manifest = self.manifest.as_ref().map(read).transpose()?;
        Ok(ManifestPatch {
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
    /// The manifest given with `--manifest`.
    pub(crate) fn manifest_path(&self) -> Option<&Path> {
        self.manifest.as_deref()
    }

    /// Whether the flags define the grants, even if they grant nothing.
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
    pub(crate) fn to_rollout(&self) -> RolloutOverride {
        let canary = self.canary.map(Percent::percent);
        RolloutOverride { self_test: self.no_self_test.then_some(false), shadow: self.shadow, canary }
    }
}

/// Uploads an artifact and returns the digest under which the host stores it.
pub(crate) fn upload(client: &AdminClient, file: &Path) -> Result<Digest> {
    let bytes = receiver_file::read(file)?;
    let answer: Value = serde_json::from_str(&client.post("/v1/artifacts", &bytes)?)?;
    let stored = answer.get("digest").and_then(Value::as_str).context("the response of the host has no digest")?;
    ensure!(
        stored == Digest::compute(&bytes).to_string(),
        "the host stored the artifact with another digest ({stored}); repeat the upload"
    );
    stored.parse().map_err(anyhow::Error::msg)
}

/// The path of a resource of a plugin. Refuses names that could change the rest of the path.
pub(crate) fn plugin_path(name: &str, rest: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    ensure!(
        !name.is_empty() && name.chars().all(plain),
        "`{name}` is not a valid plugin name: use lower-case letters, digits and dashes"
    );
    Ok(format!("/v1/plugins/{name}{rest}"))
}

/// Requests a change of one plugin and waits for its outcome.
pub(crate) fn change_plugin(
    flags: &host::HostArgs,
    client: &AdminClient,
    name: &str,
    verb: &str,
    body: &Value,
) -> Result<ExitCode> {
    let path = plugin_path(name, &format!("/{verb}"))?;
    interrupt::exit_on_ctrl_c(format!(
        "follow it with `barnabas plugin describe {name}`, abort it with `barnabas plugin abort {name}`"
    ))?;
    wait_for_outcome(flags, client, &path, body)
}

/// Requests a reconciliation of all plugins and waits for its outcome.
pub(crate) fn reconcile(flags: &host::HostArgs, client: &AdminClient) -> Result<ExitCode> {
    interrupt::exit_on_ctrl_c(
        "follow it with `barnabas plugin list`, abort a swap with `barnabas plugin abort NAME`".into(),
    )?;
    wait_for_outcome(flags, client, "/v1/reconcile", &Value::Object(serde_json::Map::new()))
}

fn wait_for_outcome(flags: &host::HostArgs, client: &AdminClient, path: &str, body: &Value) -> Result<ExitCode> {
    let mut last = None;
    for line in client.post_for_lines(path, body.to_string().as_bytes())? {
        let line = line?;
        // A later host may send steps that this command does not know. Only the last step matters.
        let step = serde_json::from_str::<ChangeStep>(&line).ok();
        match (&step, flags.json) {
            (_, true) => outln!("{line}"),
            (Some(step), false) => out!("{}", show::format_step(step, path == "/v1/reconcile")),
            (None, false) => {}
        }
        last = step.or(last);
    }
    match last {
        Some(ChangeStep::Ended(ending)) => {
            if let (ChangeOutcome::Failed, Some(settings)) = (ending.verdict, body.pointer("/wanted/settings")) {
                settings::type_hints(settings, &ending.message).iter().for_each(|hint| errln!("{hint}"));
            }
            Ok(exit_code(ending.verdict))
        }
        _ => bail!("the host did not report the outcome; see `barnabas plugin list` for the serving generation"),
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
