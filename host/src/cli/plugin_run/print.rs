//! What was seen, for the author.

use std::time::Duration;

use barnabas::capability::egress::{Captured, CapturedRequest};
use barnabas::dispatch::Outcome;
use barnabas::plugin::trial::{Report, Used};

use barnabas::words::count;

use crate::cli::words::size;

/// Prints outcome, lines, requests and cost.
pub(crate) fn report(report: &Report, captured: Option<&Captured>) {
    match &report.outcome {
        Ok(outcome) => outln!("outcome: {}", words(outcome)),
        Err(why) => outln!("outcome: never got the batch: {why}"),
    }
    for line in &report.lines {
        outln!("log:     {:<5} {}", line.level, line.text);
    }
    said(report);
    if let Some(captured) = captured {
        let (requests, more) = captured.take();
        requests.iter().for_each(request);
        if more > 0 {
            outln!("request: and {more} more");
        }
    }
    outln!("start:   {}", used(&report.start));
    outln!("export:  {}, memory at most {}", used(&report.export), size(report.memory_peak));
}

fn said(report: &Report) {
    if let Some(fault) = &report.said.fault {
        outln!("fault:   {fault}");
    }
    if let Some(why) = &report.said.misconfigured {
        outln!("report:  misconfigured: {why}");
    }
    if report.said.rejected_points > 0 {
        outln!(
            "report:  the sink rejected {}: {}",
            count(report.said.rejected_points, "point"),
            report.said.rejected_reason
        );
    }
    if report.not_normalised > 0 {
        outln!("host:    the push cannot be normalised, and was lent as it is");
    }
    if let Some(why) = &report.stop_failure {
        outln!("stop:    {why}");
    }
}

fn request(request: &CapturedRequest) {
    outln!("request: {} {}, {}", request.method, request.uri, size(request.body_len));
    for (name, value) in &request.headers {
        outln!("           {name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
}

fn used(used: &Used) -> String {
    format!("cpu {:?}, wall {:?}", Duration::from_micros(used.cpu_us), Duration::from_micros(used.wall_us))
}

/// The outcome, and what a host would do.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Taken => "taken".into(),
        Outcome::Unavailable { retry_after, reason } => match retry_after {
            Some(wait) => format!("unavailable: {reason} (a host would offer it again after {wait:?})"),
            None => format!("unavailable: {reason} (a host would offer it again)"),
        },
        Outcome::TooLarge => "too large (a host would offer it in halves)".into(),
        Outcome::Partial { rejected, retry, .. } => {
            let reasons: Vec<_> = rejected.iter().map(|(index, why)| format!("push {index}: {why}")).collect();
            format!("partial: {} rejected, {} to be offered again {}", rejected.len(), retry.len(), reasons.join("; "))
        }
        Outcome::Rejected(reason) => {
            format!("rejected: {reason} (a host would offer it in halves, to find the push at fault)")
        }
        Outcome::Other(reason) => format!("other: {reason} (a host would try a few times)"),
        Outcome::Broke(fault, why) => format!("broke ({}): {why}", fault.name()),
    }
}
