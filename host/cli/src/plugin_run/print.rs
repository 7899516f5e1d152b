//! Prints the results of a trial for the author of the receiver.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use barnabas_base::messages::count_noun;
use barnabas_pipeline::dispatch::Outcome;
use barnabas_runtime::capability::egress::{CapturedRequest, RecordedResponse};
use barnabas_runtime::capability::log::GuestLogLine;
use barnabas_runtime::capability::report::GuestReport;
use barnabas_runtime::trial::{TimeUsed, TrialResult};
use http::HeaderMap;

use super::body;
use super::secrets::SecretMask;
use crate::format::{escape, format_size};

/// The exit status, for `--help`.
pub(super) const EXIT_STATUS_HELP: &str = "Exit status: 0 every batch was taken, 1 the receiver could not run; else the result of \
the first batch that was not taken: 3 unavailable, 4 too large, 5 partial, 6 rejected, 7 other, 8 trap or limit.";

/// This many batches are printed in full. Of the following ones, only those whose outcome differs from the previous one.
const SHOWN_IN_FULL: u64 = 20;

/// Prints batch by batch.
pub(super) struct Printer {
    /// Total number of batches.
    pub(super) batches: u64,
    /// Maximum number of lines of a body; `None` prints no bodies.
    pub(super) body: Option<usize>,
    /// Applied to the headers and URLs of requests.
    pub(super) secrets: SecretMask,
    /// Number of batches by outcome.
    seen: BTreeMap<&'static str, u64>,
    last: Option<&'static str>,
    omitted: u64,
    /// Number, message and exit status of the first batch that was not taken.
    first: Option<(u64, String, u8)>,
    start: Option<TimeUsed>,
    /// Total of all exports, and the maximum of one.
    export: TimeUsed,
    longest: TimeUsed,
    memory_peak: usize,
}

/// The response of a destination, or why there is none.
pub(super) type SinkAnswer = Result<RecordedResponse, String>;

/// The result of one batch, with its log lines and requests.
pub(super) struct BatchResult {
    pub(super) tried: TrialResult,
    pub(super) lines: Vec<GuestLogLine>,
    pub(super) requests: Vec<(CapturedRequest, Option<SinkAnswer>)>,
    /// Number of requests that were not recorded.
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
            export: TimeUsed::default(),
            longest: TimeUsed::default(),
            memory_peak: 0,
        }
    }

    /// Prints one batch, or only counts it if many batches before it had the same outcome.
    pub(super) fn batch(&mut self, number: u64, seen: &BatchResult) {
        let TrialResult { outcome, start, export, memory_peak, .. } = &seen.tried;
        let (name, sentence, status) = match outcome {
            Ok(outcome) => (outcome.name(), describe_outcome(outcome), status(outcome)),
            Err(why) => ("not started", format!("never got the batch: {why}"), 1),
        };
        *self.seen.entry(name).or_default() += 1;
        self.start = self.start.or(*start);
        self.export = TimeUsed {
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
            outln!("host:    started a new instance, because the previous one broke");
        }
        self.details(seen);
    }

    fn print_omitted(&mut self) {
        match std::mem::take(&mut self.omitted) {
            0 => {}
            1 => outln!("         and 1 more batch with this outcome"),
            many => outln!("         and {many} more batches with this outcome"),
        }
    }

    fn details(&self, seen: &BatchResult) {
        for line in &seen.lines {
            outln!("log:     {:<5} {}", line.level, line.text);
        }
        print_report(&seen.tried.reported);
        match seen.tried.not_normalised {
            0 => {}
            1 => outln!("host:    1 push could not be normalised and was passed unchanged"),
            many => outln!("host:    {many} pushes could not be normalised and were passed unchanged"),
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

    /// Prints the summary of all batches. The exit status reports the outcome.
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
                if self.batches > 1 { format!("; maximum {}", format_used(&self.longest)) } else { String::new() };
            outln!("export:  {}{most}, peak memory {}", format_used(&self.export), format_size(self.memory_peak));
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
        outln!(
            "report:  the sink rejected {}: {}",
            count_noun(said.rejected_points, "data point"),
            said.rejected_reason
        );
    }
}

fn format_used(used: &TimeUsed) -> String {
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

/// The outcome, and how a host would handle it.
fn describe_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Taken => "taken".into(),
        Outcome::Unavailable { retry_after, reason } => match retry_after {
            Some(wait) => format!("unavailable: {reason} (a host would retry after {wait:?})"),
            None => format!("unavailable: {reason} (a host would retry)"),
        },
        Outcome::TooLarge => "too large (a host would retry the batch in halves)".into(),
        Outcome::Partial { rejected, retry, .. } => {
            let reasons: String = rejected.iter().map(|(index, why)| format!("; push {index}: {why}")).collect();
            format!("partial: {} rejected, {} to retry{reasons}", rejected.len(), retry.len())
        }
        Outcome::Rejected(reason) => {
            format!("rejected: {reason} (a host would retry the batch in halves, to isolate the offending push)")
        }
        Outcome::Other(reason) => format!("other: {reason} (a host would retry a few times)"),
        Outcome::Faulted(fault, why) => format!("broke ({}): {why}", fault.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_outcome_is_described_with_its_reasons() {
        let rejected = vec![(0, "too old".to_owned()), (2, "no name".to_owned())];
        let outcome = Outcome::Partial { rejected, retry: vec![1], retry_after: None };
        let said = "partial: 2 rejected, 1 to retry; push 0: too old; push 2: no name";
        assert_eq!(describe_outcome(&outcome), said);
    }
}
