//! `barnabas simulate`.

use std::io::IsTerminal as _;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use barnabas_base::Codec;
use barnabas_base::messages::count_noun;
use barnabas_base::units::HumanDuration;
use barnabas_simulator as simulate;
use barnabas_simulator::model::ClientKind;
use barnabas_simulator::{FleetProgress, SimulationOptions, SourceAddresses};
use clap::{ArgAction, Args};
use tokio::signal::ctrl_c;
use tokio::sync::oneshot;

use super::properties::CommandConfigArgs;

/// Seconds between two lines of progress if standard error is not a terminal.
const PROGRESS_INTERVAL: u64 = 5;

/// Exit status of a command that SIGINT ended, by the convention of shells.
const INTERRUPTED: u8 = 130;

/// Flags of `simulate`.
#[derive(Args)]
pub(crate) struct SimulateArgs {
    /// Number of client instances to simulate.
    #[arg(long)]
    clients: usize,
    /// How long the clients push. Then they stop over the duration of the ramp.
    #[arg(long)]
    seconds: u64,
    /// `host:port` of any broker. Several can be separated by commas; the first that responds is used.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    bootstrap_server: String,
    #[command(flatten)]
    command: CommandConfigArgs,
    /// Kinds of clients, assigned round-robin: java-3.7, java-3.9, java-4.2, librdkafka. Default: all.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<ClientKind>,
    /// Codecs that the clients support: zstd, lz4, gzip, snappy. They use the first one that the broker accepts.
    /// Default: all. Java 3.7 never compresses.
    #[arg(long, value_delimiter = ',', value_parser = codec)]
    codecs: Vec<Codec>,
    /// Local addresses to connect from, round-robin: `127.0.0.2,127.0.0.3`, `127.0.0.0/28`, or a number of loopback
    /// addresses.
    #[arg(long)]
    sources: Option<SourceAddresses>,
    /// Number of connections, if fewer than clients: several clients then share each connection, unlike real clients.
    #[arg(long)]
    connections: Option<usize>,
    /// Duration over which the starts are spread, such as `5s`.
    #[arg(long, default_value = "5s")]
    ramp: HumanDuration,
    /// Share of connections that misbehave on purpose, 0 to 1. Their responses are counted separately.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    misbehave: f64,
    /// Seed of the jitter and the misbehaviour.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the report as one JSON document.
    #[arg(long, action = ArgAction::SetTrue)]
    json: bool,
}

/// Fails if a well-behaved client stopped pushing for good or could not push. Ctrl-C stops the clients in an orderly way;
/// a second one ends the command immediately.
pub(crate) fn run(flags: &SimulateArgs) -> Result<ExitCode> {
    simulate::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut meter = ProgressLine { live: std::io::stderr().is_terminal(), last_printed: None };
    let options = options(flags)?;
    if let Some(warning) = warning(&options) {
        errln!("barnabas: {warning}");
    }
    let run = async |stop| simulate::run(options, stop, |progress| meter.show(progress)).await;
    let report = runtime.block_on(run_until_second_interrupt(interrupt, run));
    meter.end();
    let Some(report) = report.transpose()? else { return Ok(INTERRUPTED.into()) };
    if flags.json {
        outln!("{}", serde_json::to_string_pretty(&report).context("cannot serialize the report as JSON")?);
    } else {
        out!("{report}");
    }
    let Some(fault) = report.fault else { return Ok(ExitCode::SUCCESS) };
    errln!("barnabas: {fault}");
    Ok(ExitCode::FAILURE)
}

/// Waits for a Ctrl-C. If the signal handler cannot be installed, waits forever; the run still ends on time.
async fn interrupt() {
    if ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Runs `work`, whose argument resolves at the first press. At the second press `work` is dropped, and the result is
/// `None`.
async fn run_until_second_interrupt<T>(press: impl AsyncFn(), work: impl AsyncFnOnce(StopSignal) -> T) -> Option<T> {
    let (first, stop) = oneshot::channel::<()>();
    let twice = async {
        press().await;
        // The receiver is gone if the run is already ending.
        let _ = first.send(());
        press().await;
    };
    let stop: StopSignal = Box::pin(async { stop.await.unwrap_or_default() });
    tokio::select! {
        done = work(stop) => Some(done),
        () = twice => None,
    }
}

/// Warns if `--connections` exceeds the default limits of a Barnabas host.
fn warning(options: &SimulationOptions) -> Option<String> {
    let most = options.exceeds_default_quota()?;
    Some(format!(
        "many clients share a connection: by default, a Barnabas host accepts {most} new client instances per minute on \
         one connection; raise limits.connection.new-clients"
    ))
}

fn options(flags: &SimulateArgs) -> Result<SimulationOptions> {
    let mut options = SimulationOptions::new(&flags.bootstrap_server, flags.clients);
    options.time = Duration::from_secs(flags.seconds);
    options.ramp = flags.ramp.0;
    options.security = flags.command.security()?.unwrap_or_default();
    options.sources = flags.sources.clone().unwrap_or_default();
    options.connections = flags.connections.unwrap_or(flags.clients);
    (options.misbehave, options.seed) = (flags.misbehave, flags.seed);
    if !flags.kinds.is_empty() {
        options.kinds.clone_from(&flags.kinds);
    }
    if !flags.codecs.is_empty() {
        options.codecs.clone_from(&flags.codecs);
    }
    Ok(options)
}

fn codec(text: &str) -> Result<Codec, String> {
    let known = Codec::OFFERED.into_iter().find(|codec| codec.to_string() == text);
    known.ok_or_else(|| format!("`{text}` is not a codec of Kafka; use zstd, lz4, gzip or snappy"))
}

/// Resolves when the run is to stop.
type StopSignal = Pin<Box<dyn Future<Output = ()>>>;

/// Prints the progress: one line that is overwritten on a terminal, else a new line every few seconds.
struct ProgressLine {
    live: bool,
    last_printed: Option<u64>,
}

impl ProgressLine {
    fn show(&mut self, progress: &FleetProgress) {
        let seconds = progress.elapsed.as_secs();
        if !self.live && self.last_printed.is_some_and(|told| seconds < told + PROGRESS_INTERVAL) {
            return;
        }
        self.last_printed = Some(seconds);
        let FleetProgress { clients, connected, open, gets, pushes, errors, silent, .. } = progress;
        let line = format!(
            "{seconds:>4} s  {connected} of {} connected, {} open, {}, {}, {}, {silent} silent",
            count_noun(clients, "client"),
            count_noun(open, "connection"),
            count_noun(gets, "get"),
            count_noun(pushes, "push"),
            count_noun(errors, "error")
        );
        if self.live {
            err!("\r{line}\x1b[K");
        } else {
            errln!("{line}");
        }
    }

    fn end(&self) {
        if self.live && self.last_printed.is_some() {
            errln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct SimulateCli {
        #[command(flatten)]
        flags: SimulateArgs,
    }

    fn read(words: &str) -> Result<SimulationOptions, String> {
        let all = ["simulate"].into_iter().chain(words.split(' '));
        let line = SimulateCli::try_parse_from(all).map_err(|error| error.to_string())?;
        options(&line.flags).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn every_flag_sets_its_option() {
        let read = read(
            "--clients 100 --seconds 7 --bootstrap-server a:1,b:2 --kinds java-4.2,librdkafka --codecs gzip \
             --sources 127.0.0.0/30 --connections 10 --ramp 2s --misbehave 0.25 --seed 9",
        );
        let mut expected = SimulationOptions::new("a:1,b:2", 100);
        expected.connections = 10;
        expected.kinds = vec![ClientKind::Java42, ClientKind::Librdkafka];
        expected.codecs = vec![Codec::Gzip];
        expected.sources = "2".parse().unwrap();
        (expected.time, expected.ramp) = (Duration::from_secs(7), Duration::from_secs(2));
        (expected.misbehave, expected.seed) = (0.25, 9);
        assert_eq!(read.unwrap(), expected);
        assert_eq!(self::read("--clients 3 --seconds 10").unwrap(), SimulationOptions::new("127.0.0.1:9092", 3));
    }

    #[test]
    fn credentials_are_read_from_the_command_config() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=x username=\"a\" password=\"b\";";
        std::fs::write(file.path(), text).unwrap();
        let flags = format!("--clients 1 --seconds 1 --command-config {}", file.path().display());
        assert_eq!(read(&flags).unwrap().security.login.unwrap().mechanism(), "PLAIN");
    }

    #[test]
    fn many_clients_on_a_connection_cause_a_warning() {
        let of = |flags: &str| warning(&read(&format!("--seconds 1 {flags}")).unwrap());
        assert_eq!(of("--clients 100"), None);
        assert_eq!(of("--clients 16 --connections 2"), None);
        let said = of("--clients 17 --connections 2").unwrap();
        assert!(
            said.contains("accepts 8 new client instances") && said.contains("limits.connection.new-clients"),
            "{said}"
        );
    }

    #[tokio::test]
    async fn a_second_ctrl_c_ends_the_run_immediately() {
        let presses = std::cell::Cell::new(0);
        let press = async || match presses.replace(presses.get() + 1) {
            0 | 1 => {}
            _ => std::future::pending().await,
        };
        let never = run_until_second_interrupt(press, async |stop| {
            stop.await;
            std::future::pending::<()>().await;
        });
        assert_eq!((never.await, presses.get()), (None, 2));
        let once = std::cell::Cell::new(0);
        let press = async || {
            if once.replace(1) == 1 {
                std::future::pending().await
            }
        };
        assert_eq!(
            run_until_second_interrupt(press, async |stop| stop.await).await,
            Some(()),
            "the first press stops the run in an orderly way"
        );
    }

    #[test]
    fn invalid_flags_are_refused_with_a_remedy() {
        for (flag, words) in [
            ("--kinds java-9", "use java-3.7"),
            ("--codecs brotli", "use zstd"),
            ("--sources everywhere", "127.0.0.0/28"),
            ("--ramp soon", "soon"),
            ("--command-config no/such.properties", "cannot read no/such.properties"),
        ] {
            let said = read(&format!("--clients 1 --seconds 1 {flag}")).unwrap_err();
            assert!(said.contains(words), "`{said}` should say `{words}`");
        }
    }
}
