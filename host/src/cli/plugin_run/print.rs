//! What was seen, for the author.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use barnabas::capability::egress::{CapturedRequest, RecordedResponse};
use barnabas::capability::log::GuestLogLine;
use barnabas::capability::report::GuestReport;
use barnabas::dispatch::Outcome;
use barnabas::messages::count_noun;
use barnabas::plugin::trial::{Tried, Used};
use http::HeaderMap;

use super::body;
use super::secrets::SecretMask;
use crate::cli::format::{escape, format_size};

/// What `--help` says of the exit status.
pub(super) const EXIT_STATUS_HELP: &str = "Exit status, by the first batch that was not taken: 0 every batch was taken, 1 nothing \
could be run, 3 unavailable, 4 too large, 5 partial, 6 rejected, 7 other, 8 it broke.";

/// So many batches are shown in full; of those behind them only the ones that end otherwise than the one before.
const SHOWN_IN_FULL: u64 = 20;

/// Prints batch by batch.
pub(super) struct Printer {
    /// How many batches there will be.
    pub(super) batches: u64,
    /// Most lines of a body; `None` shows none.
    pub(super) body: Option<usize>,
    /// Of requests.
    pub(super) secrets: SecretMask,
    /// Batches by outcome.
    seen: BTreeMap<&'static str, u64>,
    last: Option<&'static str>,
    omitted: u64,
    /// Number, sentence and exit status of the first that was not taken.
    first: Option<(u64, String, u8)>,
    start: Option<Used>,
    /// In all, and the most in one.
    export: Used,
    longest: Used,
    memory_peak: usize,
}

/// Of a destination to which a request was sent, or why there is none.
pub(super) type SinkAnswer = Result<RecordedResponse, String>;

/// One batch and what came with it.
pub(super) struct BatchResult {
    pub(super) tried: Tried,
    pub(super) lines: Vec<GuestLogLine>,
    pub(super) requests: Vec<(CapturedRequest, Option<SinkAnswer>)>,
    /// Requests that were not kept.
    pub(super) more: usize,
}

impl Printer {
    pub(super) fn new(batches: u64, body: Option<usize>, secrets: SecretMask) -> Self {
        Self {
            batches,
            body,
            secrets,
            seen: BTreeMap::new(),
            last: None,
            omitted: 0,
            first: None,
            start: None,
            export: Used::default(),
            longest: Used::default(),
            memory_peak: 0,
        }
    }

    /// Prints one batch, or counts it where it is like the many before it.
    pub(super) fn batch(&mut self, number: u64, seen: &BatchResult) {
        let Tried { outcome, start, export, memory_peak, .. } = &seen.tried;
        let (name, sentence, status) = match outcome {
            Ok(outcome) => (outcome.name(), describe_outcome(outcome), status(outcome)),
            Err(why) => ("not started", format!("never got the batch: {why}"), 1),
        };
        *self.seen.entry(name).or_default() += 1;
        self.start = self.start.or(*start);
        self.export = Used {
            cpu_us: self.export.cpu_us.saturating_add(export.cpu_us),
            wall_us: self.export.wall_us.saturating_add(export.wall_us),
        };
        self.longest = if export.cpu_us > self.longest.cpu_us { *export } else { self.longest };
        self.memory_peak = self.memory_peak.max(*memory_peak);
        if status != 0 && self.first.is_none() {
            self.first = Some((number, sentence.clone(), status));
        }
        let differs = self.last.replace(name) != Some(name);
        if number > SHOWN_IN_FULL && !differs {
            self.omitted += 1;
            return;
        }
        self.print_omitted();
        let title = if self.batches > 1 { format!("batch {number}:") } else { "outcome:".into() };
        outln!("{title:<8} {sentence}");
        if number > 1 && start.is_some() {
            outln!("host:    another instance was started, since the one before broke");
        }
        self.details(seen);
    }

    fn print_omitted(&mut self) {
        match std::mem::take(&mut self.omitted) {
            0 => {}
            1 => outln!("         and one more that ended so"),
            many => outln!("         and {many} more that ended so"),
        }
    }

    fn details(&self, seen: &BatchResult) {
        for line in &seen.lines {
            outln!("log:     {:<5} {}", line.level, line.text);
        }
        print_report(&seen.tried.said);
        match seen.tried.not_normalised {
            0 => {}
            1 => outln!("host:    a push cannot be normalised, and was lent as it is"),
            many => outln!("host:    {many} pushes cannot be normalised, and were lent as they are"),
        }
        for (request, answer) in &seen.requests {
            self.request(request);
            answer.iter().for_each(|answer| self.answer(answer));
        }
        if seen.more > 0 {
            outln!("request: and {} more", seen.more);
        }
    }

    fn request(&self, request: &CapturedRequest) {
        let uri = escape(&self.secrets.uri(&request.uri));
        outln!("request: {} {uri}, {}", request.method, format_size(request.body_len));
        self.message(&request.headers, &request.body, request.body_len);
    }

    fn answer(&self, answer: &SinkAnswer) {
        match answer {
            Err(why) => outln!("answer:  none: {}", escape(why)),
            Ok(reply) => {
                outln!("answer:  {}, {} read", reply.status, format_size(reply.body.len()));
                self.message(&reply.headers, &reply.body, reply.body.len());
            }
        }
    }

    fn message(&self, headers: &HeaderMap, body: &[u8], whole: usize) {
        for (name, value) in headers {
            outln!("           {name}: {}", escape(&self.secrets.header(name, value)));
        }
        let Some(most) = self.body else { return };
        body::lines(headers, body, whole, most).iter().for_each(|line| outln!("           | {line}"));
    }

    /// Prints what is to be said of all of them. The exit status tells the outcome.
    pub(super) fn end(mut self, lines: &[GuestLogLine], stop_failure: Option<&str>) -> ExitCode {
        self.print_omitted();
        for line in lines {
            outln!("log:     {:<5} {}", line.level, line.text);
        }
        if let Some(why) = stop_failure {
            outln!("stop:    {why}");
        }
        if self.batches > 1 {
            let seen = self.seen.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ");
            outln!("outcome: {seen}");
            if let Some((number, sentence, _)) = &self.first {
                outln!("first:   batch {number}: {sentence}");
            }
        }
        if let Some(start) = &self.start {
            outln!("start:   {}", format_used(start));
            let most =
                if self.batches > 1 { format!("; the longest {}", format_used(&self.longest)) } else { String::new() };
            outln!("export:  {}{most}, memory at most {}", format_used(&self.export), format_size(self.memory_peak));
        }
        ExitCode::from(self.first.map_or(0, |(_, _, status)| status))
    }
}

fn print_report(said: &GuestReport) {
    if let Some(fault) = &said.fault {
        outln!("fault:   {fault}");
    }
    if let Some(why) = &said.misconfigured {
        outln!("report:  misconfigured: {why}");
    }
    if said.rejected_points > 0 {
        outln!("report:  the sink rejected {}: {}", count_noun(said.rejected_points, "point"), said.rejected_reason);
    }
}

fn format_used(used: &Used) -> String {
    format!("cpu {:?}, wall {:?}", Duration::from_micros(used.cpu_us), Duration::from_micros(used.wall_us))
}

fn status(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Taken => 0,
        Outcome::Unavailable { .. } => 3,
        Outcome::TooLarge => 4,
        Outcome::Partial { .. } => 5,
        Outcome::Rejected(_) => 6,
        Outcome::Other(_) => 7,
        Outcome::Faulted(..) => 8,
    }
}

/// The outcome, and what a host would do.
fn describe_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Taken => "taken".into(),
        Outcome::Unavailable { retry_after, reason } => match retry_after {
            Some(wait) => format!("unavailable: {reason} (a host would offer it again after {wait:?})"),
            None => format!("unavailable: {reason} (a host would offer it again)"),
        },
        Outcome::TooLarge => "too large (a host would offer it in halves)".into(),
        Outcome::Partial { rejected, retry, .. } => {
            let reasons: String = rejected.iter().map(|(index, why)| format!("; push {index}: {why}")).collect();
            format!("partial: {} rejected, {} to be offered again{reasons}", rejected.len(), retry.len())
        }
        Outcome::Rejected(reason) => {
            format!("rejected: {reason} (a host would offer it in halves, to find the push at fault)")
        }
        Outcome::Other(reason) => format!("other: {reason} (a host would try a few times)"),
        Outcome::Faulted(fault, why) => format!("broke ({}): {why}", fault.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_outcome_is_a_sentence() {
        let rejected = vec![(0, "too old".to_owned()), (2, "no name".to_owned())];
        let outcome = Outcome::Partial { rejected, retry: vec![1], retry_after: None };
        let said = "partial: 2 rejected, 1 to be offered again; push 0: too old; push 2: no name";
        assert_eq!(describe_outcome(&outcome), said);
    }
}
