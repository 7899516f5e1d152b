//! `barnabas plugin run`.

mod print;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use barnabas::admission::Admitted;
use barnabas::capability::egress::{Captured, EgressMode, Grants};
use barnabas::capability::state::{Caps, Shelf};
use barnabas::decode::{self, Decoded, Decoder, Normalise};
use barnabas::dispatch::Outcome;
use barnabas::plugin::engine::Engines;
use barnabas::plugin::limits::Limits;
use barnabas::plugin::runtime::GuestRuntime;
use barnabas::plugin::trial::{Report, Trial};
use barnabas::push::Push;
use barnabas::push::sample::{self, Sample};
use barnabas::store::Store;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::settings;

/// More than an operator would grant, since it is gone with the trial.
const STATE: Caps = Caps { bytes: 64 << 20, keys: 100_000 };

/// Flags of `plugin run`.
#[derive(Args)]
pub(crate) struct Flags {
    /// A component, or a core module built with the SDK.
    file: PathBuf,
    /// Bytes of an OTLP `MetricsData` message to push, not compressed.
    #[arg(long, value_name = "FILE", conflicts_with = "sample")]
    push: Option<PathBuf>,
    /// A recorded push of a real client.
    #[arg(long, value_enum, default_value_t = SampleName::Java)]
    sample: SampleName,
    /// A setting of the receiver: `endpoint=http://…`, `headers.authorization=…`, `labels=["client_id"]`. The value is
    /// read as JSON where it is JSON, else as text: write text that looks like a number as 'token="12345"'.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// What becomes of the receiver's requests: printed and answered with an empty 200, or really sent, to wherever
    /// it likes.
    #[arg(long, value_enum, default_value_t = EgressName::Print)]
    egress: EgressName,
    /// Lend the push as `normalise = true` of a manifest does: one spelling of labels, no gauge that is NaN, equal
    /// resources, scopes and metrics once.
    #[arg(long)]
    normalise: bool,
    /// The same, and a producer's metrics of this client id are an admin client's: a regular expression, as in
    /// `normalise.admin-clients`. The client of a sample is called `sample`.
    #[arg(long, value_name = "REGEX")]
    admin_client: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum SampleName {
    Java,
    Librdkafka,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum EgressName {
    Print,
    Send,
}

/// Succeeds only when the receiver took the batch.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let artifact = std::fs::read(&flags.file).with_context(|| format!("cannot read {}", flags.file.display()))?;
    let (egress, captured) = egress(flags.egress);
    let given = Value::Object(settings::object("--set", &flags.settings)?);
    let trial = Trial {
        name: flags.file.file_stem().unwrap_or_default().to_string_lossy().into(),
        artifact,
        settings: given.to_string().into(),
        pushes: vec![Arc::new(payload(push(flags)?)?)],
        egress,
        grants: Arc::new(Grants::everything()),
        state: Shelf::of(&Store::in_memory(), "trial", STATE).scratch(),
        limits: Limits::default(),
        normalise: normalise(flags)?,
    };
    let report = execute(trial).map_err(|problem| anyhow!("{}: {problem}", flags.file.display()))?;
    print::report(&report, captured.as_deref());
    if let Err(why) = &report.outcome {
        settings::misread(&given, why).iter().for_each(|hint| errln!("{hint}"));
    }
    Ok(if matches!(report.outcome, Ok(Outcome::Taken)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn normalise(flags: &Flags) -> Result<Option<Arc<Normalise>>> {
    if !flags.normalise && flags.admin_client.is_empty() {
        return Ok(None);
    }
    let rules = Normalise::new(&flags.admin_client).map_err(|problem| anyhow!("`--admin-client`: {problem}"))?;
    Ok(Some(Arc::new(rules)))
}

fn execute(trial: Trial) -> Result<Report, String> {
    let engines = Engines::new().map_err(|error| format!("the WebAssembly engine does not start: {error:#}"))?;
    let guests = GuestRuntime::new(1).map_err(|error| format!("the guest's thread does not start: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| format!("the runtime does not start: {error}"))?;
    runtime.block_on(trial.run(&engines, &guests))
}

fn push(flags: &Flags) -> Result<Push> {
    let Some(file) = &flags.push else {
        return Ok(match flags.sample {
            SampleName::Java => Sample::Java.push(),
            SampleName::Librdkafka => Sample::Librdkafka.push(),
        });
    };
    let bytes = std::fs::read(file).with_context(|| format!("cannot read the push {}", file.display()))?;
    Ok(sample::of_bytes(bytes.into()))
}

/// The same way in as every push.
fn payload(push: Push) -> Result<decode::Payload> {
    let decoded =
        Admitted::declared(push).and_then(|admitted| Decoder::new(decode::Config::default()).decode(admitted));
    match decoded.map_err(|refusal| anyhow!("the push cannot be used: {refusal}"))? {
        Decoded::Payload(payload) => Ok(payload),
        Decoded::Empty => Err(anyhow!("the push holds no metrics")),
    }
}

fn egress(name: EgressName) -> (EgressMode, Option<Arc<Captured>>) {
    match name {
        EgressName::Send => (EgressMode::Send, None),
        EgressName::Print => {
            let captured = Arc::new(Captured::default());
            (EgressMode::Capture(captured.clone()), Some(captured))
        }
    }
}
