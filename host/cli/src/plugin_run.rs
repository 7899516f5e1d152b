//! `barnabas plugin run`.

mod body;
mod print;
mod pushes;
mod reply;
mod secrets;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, ensure};
use barnabas_base::digest::Digest;
use barnabas_lifecycle::Manifest;
use barnabas_pipeline::decode::{NormaliseConfig, Payload};
use barnabas_runtime::capability::egress::{
    CapturedRequest, EgressMode, Grants, RecordedResponse, RequestCapture, Tap,
};
use barnabas_runtime::capability::state::{SlotState, StateQuota};
use barnabas_runtime::engine::Engines;
use barnabas_runtime::runtime::GuestRuntime;
use barnabas_runtime::trial::{Trial, TrialResult, TrialSession};
use barnabas_storage::store::Store;
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::{change, receiver_file, settings};
use print::{BatchResult, Printer, SinkAnswer};
use secrets::SecretMask;

/// More than an operator would grant, since the state is discarded after the trial.
const STATE: StateQuota = StateQuota { bytes: 64 << 20, keys: 100_000 };
/// The name of the manifest in errors if no file is given.
const NO_FILE: &str = "plugin-run.toml";

/// Flags of `plugin run`.
#[derive(Args)]
#[command(after_help = print::EXIT_STATUS_HELP)]
pub(crate) struct PluginRunArgs {
    /// Receiver file: a component, or a core module built with the SDK.
    file: PathBuf,
    #[command(flatten)]
    pushes: pushes::PushArgs,
    /// Maximum number of pushes in a batch, like `[batch] pushes` in a manifest. Default: all pushes in one batch.
    #[arg(long, value_name = "NUMBER")]
    pushes_per_batch: Option<NonZero<usize>>,
    /// How many times to run the batches. One instance gets them one after the other; an instance that traps is replaced.
    #[arg(long, value_name = "NUMBER", default_value = "1")]
    repeat: NonZero<u32>,
    #[command(flatten)]
    wanted: change::ManifestArgs,
    /// Handling of outgoing requests: `print` them and answer with `--reply`, or `send` them and print the responses.
    #[arg(long, value_enum, default_value_t = EgressChoice::Print)]
    egress: EgressChoice,
    /// Response to a printed request: a status and headers, such as `429,retry-after=3`, optionally followed by
    /// `body=TEXT` or `body=@FILE`. Several replies are used in order, and the last one is repeated. Default: the
    /// manifest's `[self-test] reply`, else an empty 200.
    #[arg(long = "reply", value_name = "STATUS[,NAME=VALUE]...")]
    replies: Vec<String>,
    /// Print the bodies of requests, OTLP as one line per data point; at most this many lines of each.
    #[arg(long, value_name = "LINES", num_args = 0..=1, require_equals = true, default_missing_value = "100")]
    show_body: Option<usize>,
    /// Print credentials in the headers and URLs of requests.
    #[arg(long)]
    show_secrets: bool,
    /// Normalise the pushes like `normalise = true` in a manifest: uniform label names, no NaN gauges, and equal
    /// resources, scopes and metrics merged.
    #[arg(long)]
    normalise: bool,
    /// Normalise, and treat the producer metrics of matching client ids as those of an admin client: a regular
    /// expression, like `normalise.admin-clients`. The client id of a sample is `sample`.
    #[arg(long, value_name = "REGEX")]
    admin_client: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum EgressChoice {
    Print,
    Send,
}

/// Succeeds only if the receiver accepts every batch. The exit status reports the outcome.
pub(crate) fn run(flags: &PluginRunArgs) -> Result<ExitCode> {
    let artifact = receiver_file::read(&flags.file)?;
    let manifest = manifest(flags, &artifact)?;
    let batches = batches(flags, &manifest)?;
    let seeing = RequestViewer::new(flags, &manifest)?;
    let granted = flags.wanted.sets_grants();
    let state = if granted { manifest.state_quota } else { Some(STATE) };
    let trial = Trial {
        name: flags.file.file_stem().unwrap_or_default().to_string_lossy().into(),
        artifact,
        settings: manifest.settings.clone(),
        egress: seeing.mode(),
        tap: seeing.tap(),
        grants: if granted { manifest.grants.clone() } else { Arc::new(Grants::everything()) },
        state: state.map_or_else(SlotState::not_granted, |caps| {
            SlotState::for_slot(&Store::in_memory(), "trial", caps).trial_overlay()
        }),
        limits: manifest.limits.clone(),
        normalise: normalise(flags, &manifest)?,
    };
    TrialRunner::new()?.run(flags, trial, &batches, &seeing)
}

/// The manifest as in production, from the file and the flags.
fn manifest(flags: &PluginRunArgs, artifact: &[u8]) -> Result<Manifest> {
    let wanted = flags.wanted.to_overrides(Some(Digest::compute(artifact)))?;
    let file = flags.wanted.manifest_path().unwrap_or(Path::new(NO_FILE));
    Manifest::with_patch(file, "", &wanted).map_err(|problem| {
        let without_name = problem.strip_prefix(NO_FILE).and_then(|rest| rest.strip_prefix(": "));
        anyhow!(without_name.map_or(problem.clone(), str::to_owned))
    })
}

fn batches(flags: &PluginRunArgs, manifest: &Manifest) -> Result<Vec<Arc<[Arc<Payload>]>>> {
    let pushes = flags.pushes.payloads()?;
    let of_manifest = flags.wanted.manifest_path().map(|_| manifest.slot_config().batch_pushes);
    let size = flags.pushes_per_batch.map(NonZero::get).or(of_manifest).unwrap_or(pushes.len());
    Ok(pushes.chunks(size.max(1)).map(Arc::from).collect())
}

fn normalise(flags: &PluginRunArgs, manifest: &Manifest) -> Result<Option<Arc<NormaliseConfig>>> {
    if !flags.normalise && flags.admin_client.is_empty() {
        return Ok(manifest.normalise.clone());
    }
    let rules = NormaliseConfig::new(&flags.admin_client).map_err(|problem| anyhow!("`--admin-client`: {problem}"))?;
    Ok(Some(Arc::new(rules)))
}

/// Records the requests of a trial.
enum RequestViewer {
    /// Requests are not sent.
    Captured(Arc<RequestCapture>),
    /// Requests are sent.
    Tapped(Arc<Tap>),
}

impl RequestViewer {
    fn new(flags: &PluginRunArgs, manifest: &Manifest) -> Result<Self> {
        if flags.egress == EgressChoice::Send {
            ensure!(
                flags.replies.is_empty(),
                "`--reply` applies to `--egress print` only; with `--egress send` the destination responds"
            );
            return Ok(Self::Tapped(Arc::default()));
        }
        let parsed = flags
            .replies
            .iter()
            .map(|text| reply::parse(text).map_err(|problem| anyhow!("`--reply {text}`: {problem}")));
        let mut replies: Vec<RecordedResponse> = parsed.collect::<Result<_>>()?;
        let last = replies.pop().unwrap_or_else(|| manifest.rollout.reply.clone());
        let captured = RequestCapture::replaying(Arc::default(), last).with_scripted_responses(replies);
        Ok(Self::Captured(Arc::new(if flags.wanted.sets_grants() { captured.enforcing_grants() } else { captured })))
    }

    fn mode(&self) -> EgressMode {
        match self {
            Self::Captured(captured) => EgressMode::Capture(captured.clone()),
            Self::Tapped(_) => EgressMode::Send,
        }
    }

    fn tap(&self) -> Option<Arc<Tap>> {
        match self {
            Self::Captured(_) => None,
            Self::Tapped(tap) => Some(tap.clone()),
        }
    }

    /// The recorded requests, with the response of the destination if they were sent, and the number of requests beyond
    /// the limit of the record.
    fn take(&self) -> (Vec<(CapturedRequest, Option<SinkAnswer>)>, usize) {
        match self {
            Self::Captured(captured) => {
                let (requests, more) = captured.take();
                (requests.into_iter().map(|request| (request, None)).collect(), more)
            }
            Self::Tapped(tap) => {
                let (exchanges, more) = tap.take();
                (exchanges.into_iter().map(|exchange| (exchange.request, Some(exchange.response))).collect(), more)
            }
        }
    }
}

/// The engines and runtimes that run a receiver.
struct TrialRunner {
    engines: Engines,
    guests: GuestRuntime,
    runtime: tokio::runtime::Runtime,
}

impl TrialRunner {
    fn new() -> Result<Self> {
        let engines = Engines::new().map_err(|error| anyhow!("cannot start the WebAssembly engine: {error:#}"))?;
        let guests = GuestRuntime::new(1).context("cannot start the thread of the receiver")?;
        let runtime = tokio::runtime::Builder::new_current_thread().build().context("cannot start the runtime")?;
        Ok(Self { engines, guests, runtime })
    }

    /// Runs the batches and prints the result of each.
    fn run(
        &self,
        flags: &PluginRunArgs,
        trial: Trial,
        batches: &[Arc<[Arc<Payload>]>],
        seeing: &RequestViewer,
    ) -> Result<ExitCode> {
        let loaded = self.runtime.block_on(trial.load(&self.engines, &self.guests));
        let mut session = loaded.map_err(|problem| anyhow!("{}: {problem}", flags.file.display()))?;
        let all = (0..flags.repeat.get()).flat_map(|_| batches);
        let count = u64::from(flags.repeat.get()).saturating_mul(batches.len() as u64);
        let secrets = SecretMask { shown: flags.show_secrets };
        let mut printer = Printer::new(count, flags.show_body, secrets);
        for (number, batch) in (1..).zip(all) {
            let tried;
            (session, tried) = self.offer(session, batch.clone())?;
            let failure = tried.outcome.as_ref().err().cloned();
            let (requests, more) = seeing.take();
            printer.batch(number, &BatchResult { tried, lines: session.take_lines(), requests, more });
            if let Some(why) = failure {
                let given = Value::Object(flags.wanted.to_overrides(None)?.settings);
                settings::type_hints(&given, &why).iter().for_each(|hint| errln!("{hint}"));
                break;
            }
        }
        let (session, stop_failure) = self.run_guest(async move {
            let failure = session.stop().await;
            (session, failure)
        })?;
        Ok(printer.end(&session.take_lines(), stop_failure.as_deref()))
    }

    fn offer(&self, mut session: TrialSession, batch: Arc<[Arc<Payload>]>) -> Result<(TrialSession, TrialResult)> {
        self.run_guest(async move {
            let tried = session.offer(&batch).await;
            (session, tried)
        })
    }

    fn run_guest<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.runtime
            .block_on(self.guests.handle().spawn(work))
            .context("the task of the receiver panicked, which is a bug in barnabas")
    }
}
