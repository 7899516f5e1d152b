//! `barnabas simulate`.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use barnabas::push::Codec;
use barnabas::simulate::model::Kind;
use barnabas::simulate::{self, Options, Progress, Sources};
use barnabas::units::Span;
use clap::{ArgAction, Args};
use tokio::signal::ctrl_c;

/// Where progress goes to a file, seconds between two lines.
const SELDOM: u64 = 5;

/// Flags of `simulate`.
#[derive(Args)]
pub(crate) struct Flags {
    /// Client instances to play.
    #[arg(long)]
    clients: usize,
    /// How long they push; then they leave as they came, over the ramp.
    #[arg(long)]
    seconds: u64,
    /// `host:port` of any broker; of several, separated by commas, the first that answers.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    bootstrap_server: String,
    /// Kinds of clients, dealt out in turn: java-3.7, java-3.9, java-4.2, librdkafka. Default: all.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Codecs that they have built in: zstd, lz4, gzip, snappy. The one that the broker names first is used.
    /// Default: all. Java 3.7 never compresses.
    #[arg(long, value_delimiter = ',', value_parser = codec)]
    codecs: Vec<Codec>,
    /// Local addresses to connect from, in turn: `127.0.0.2,127.0.0.3`, `127.0.0.0/28`, or how many loopback addresses.
    #[arg(long)]
    sources: Option<Sources>,
    /// Connections, when fewer than clients: several clients then take turns on each, which real ones never do.
    #[arg(long)]
    connections: Option<usize>,
    /// Over how long the starts are spread, such as `5s`.
    #[arg(long, default_value = "5s")]
    ramp: Span,
    /// Share of connections that misbehave on purpose, 0 to 1. What they are answered is counted apart.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    misbehave: f64,
    /// The same seed gives the same jitter and the same mischief.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print the report as one JSON document.
    #[arg(long, action = ArgAction::SetTrue)]
    json: bool,
}

/// Fails when a client that behaves well fell silent, got an error that silences clients, or never had a connection.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    simulate::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut meter = Meter { live: std::io::stderr().is_terminal(), told: None };
    let stop = async {
        if ctrl_c().await.is_err() {
            // Without it the run still ends by itself.
            std::future::pending::<()>().await;
        }
    };
    let report = runtime.block_on(simulate::run(options(flags), stop, |progress| meter.show(progress)))?;
    meter.end();
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&report).context("the report cannot be written as JSON")?);
    } else {
        print!("{report}");
    }
    let Some(fault) = report.fault else { return Ok(ExitCode::SUCCESS) };
    eprintln!("barnabas: {fault}");
    Ok(ExitCode::FAILURE)
}

fn options(flags: &Flags) -> Options {
    let mut options = Options::new(&flags.bootstrap_server, flags.clients);
    options.time = Duration::from_secs(flags.seconds);
    options.ramp = flags.ramp.0;
    options.sources = flags.sources.clone().unwrap_or_default();
    options.connections = flags.connections.unwrap_or(flags.clients);
    (options.misbehave, options.seed) = (flags.misbehave, flags.seed);
    if !flags.kinds.is_empty() {
        options.kinds.clone_from(&flags.kinds);
    }
    if !flags.codecs.is_empty() {
        options.codecs.clone_from(&flags.codecs);
    }
    options
}

fn codec(text: &str) -> Result<Codec, String> {
    let known = Codec::OFFERED.into_iter().find(|codec| codec.to_string() == text);
    known.ok_or_else(|| format!("`{text}` is no codec of Kafka: name one of zstd, lz4, gzip, snappy"))
}

/// Tells how it goes: one line rewritten on a terminal, else a line now and then.
struct Meter {
    live: bool,
    told: Option<u64>,
}

impl Meter {
    fn show(&mut self, progress: &Progress) {
        let seconds = progress.elapsed.as_secs();
        if !self.live && self.told.is_some_and(|told| seconds < told + SELDOM) {
            return;
        }
        self.told = Some(seconds);
        let Progress { clients, connected, open, gets, pushes, errors, silent, .. } = progress;
        let line = format!(
            "{seconds:>4} s  {connected} of {clients} clients connected, {open} connections open, {gets} gets, \
             {pushes} pushes, {errors} errors, {silent} silent"
        );
        if self.live {
            eprint!("\r{line}\x1b[K");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if self.live && self.told.is_some() {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn read(words: &str) -> Result<Options, String> {
        let all = ["simulate"].into_iter().chain(words.split(' '));
        Line::try_parse_from(all).map(|line| options(&line.flags)).map_err(|error| error.to_string())
    }

    #[test]
    fn every_flag_arrives_in_the_options() {
        let read = read(
            "--clients 100 --seconds 7 --bootstrap-server a:1,b:2 --kinds java-4.2,librdkafka --codecs gzip \
             --sources 127.0.0.0/30 --connections 10 --ramp 2s --misbehave 0.25 --seed 9",
        );
        let mut expected = Options::new("a:1,b:2", 100);
        expected.connections = 10;
        expected.kinds = vec![Kind::Java42, Kind::Librdkafka];
        expected.codecs = vec![Codec::Gzip];
        expected.sources = "2".parse().unwrap();
        (expected.time, expected.ramp) = (Duration::from_secs(7), Duration::from_secs(2));
        (expected.misbehave, expected.seed) = (0.25, 9);
        assert_eq!(read.unwrap(), expected);
        assert_eq!(self::read("--clients 3 --seconds 10").unwrap(), Options::new("127.0.0.1:9092", 3));
    }

    #[test]
    fn flags_that_make_no_sense_are_refused_in_words() {
        for (flag, words) in [
            ("--kinds java-9", "name one of java-3.7"),
            ("--codecs brotli", "name one of zstd"),
            ("--sources everywhere", "127.0.0.0/28"),
            ("--ramp soon", "soon"),
        ] {
            let said = read(&format!("--clients 1 --seconds 1 {flag}")).unwrap_err();
            assert!(said.contains(words), "`{said}` should say `{words}`");
        }
    }
}
