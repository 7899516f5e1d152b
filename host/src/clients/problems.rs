//! What is wrong with a client, in one sentence each: what, and what to do.

use std::time::{Duration, SystemTime};

use super::coverage;
use crate::admission::ClientSnapshot;
use crate::catalogue::SentMetrics;

/// Clients that are told of another subscription come back at once; only one that is told so again and again is in
/// trouble.
const HARMLESS_REPEATS: u32 = 3;
/// Beside two intervals: networks and short intervals are not worth a sentence.
const GRACE: Duration = Duration::from_secs(10);

/// All that is wrong; of a client that is gone, nothing.
pub(super) fn find(client: &ClientSnapshot, seen: Option<&SentMetrics>, now: SystemTime) -> Vec<String> {
    if client.gone {
        return Vec::new();
    }
    let all = [
        asked_for_nothing(client),
        recently_refused(client, now),
        never_pushed(client, now),
        empty_pushes(client, seen),
        silent(client, now),
    ];
    all.into_iter().flatten().chain(seen.and_then(|seen| missing_required(client, seen))).collect()
}

/// What a refusal means and what to do, by [`Refusal::code`](crate::admission::Refusal::code).
pub(super) fn remedy(code: &str) -> &'static str {
    match code {
        "invalid_request" => {
            "it used an id that is none, or pushed after its last push, and many clients then switch their telemetry \
             off until they are restarted: update its client library and restart it"
        }
        "unknown_subscription" => {
            "it asks anew by itself; if that goes on, hosts behind one address differ in their subscriptions: give \
             them the same"
        }
        "throttled" => {
            "it came before its interval was over and comes back by itself; if that goes on, two clients share one \
             instance id: restart one of them"
        }
        "unsupported_compression" => "it chooses another codec by itself; if that goes on, update its client library",
        "over_quota" => {
            "its connection or its source brings more than it may, and it comes back by itself; if that goes on, raise \
             `limits.connection`, `limits.source` or the `[[quota]]` of its principal"
        }
        "too_large" => {
            "ask for fewer metrics, or raise the limit that it met: `limits.push-bytes`, \
             `limits.decompressed-bytes` or `limits.decompression-ratio`"
        }
        "invalid_record" => {
            "its bytes are no OTLP metrics, and many clients then switch their telemetry off until they are restarted: \
             update its client library and restart it"
        }
        _ => "see the log of the host",
    }
}

/// Matched by nothing.
fn asked_for_nothing(client: &ClientSnapshot) -> Option<String> {
    let unmatched = || "asked for nothing: no subscription matches it; write one that does".into();
    let empty = || {
        let names = client.subscriptions.join("`, `");
        format!("asked for nothing: `{names}` has no metrics, which excludes it; give it some if that is not meant")
    };
    client.metrics.is_empty().then(|| if client.subscriptions.is_empty() { unmatched() } else { empty() })
}

/// Lately, that is while a client would not be forgotten for silence.
fn recently_refused(client: &ClientSnapshot, now: SystemTime) -> Option<String> {
    let (code, at) = client.last_refusal?;
    let lately = elapsed(at, now) <= (3 * client.push_interval).max(Duration::from_secs(60));
    let harmless =
        code == "unknown_subscription" && (client.refused < HARMLESS_REPEATS || client.refused < client.pushes);
    let times = if client.refused == 1 { "once".into() } else { format!("{} times", client.refused) };
    (lately && !harmless).then(|| format!("refused {times}, last {code}: {}", remedy(code)))
}

fn never_pushed(client: &ClientSnapshot, now: SystemTime) -> Option<String> {
    if client.pushes > 0 || client.metrics.is_empty() {
        return None;
    }
    let (asked, most) = (elapsed(client.first_seen, now), client.push_interval.mul_f64(1.5));
    let ago = format_span(asked);
    if asked <= most {
        return Some(format!(
            "never pushed: it asked {ago} ago and waits up to 1.5 intervals ({}) for its first push",
            format_span(most)
        ));
    }
    Some(format!(
        "never pushed: it asked {ago} ago, and its first push was due {} later at most: see what its own log says of \
         telemetry, and restart it",
        format_span(most)
    ))
}

fn empty_pushes(client: &ClientSnapshot, seen: Option<&SentMetrics>) -> Option<String> {
    let silent = seen.is_none_or(|seen| seen.names.is_empty() && seen.not_kept == 0);
    // What was refused has not been looked at, and what was seen under another subscription is forgotten.
    (silent && client.pushed_since_get && client.pushes > client.refused && !client.metrics.is_empty()).then(|| {
        "its pushes hold no metrics: nothing that it has begins as it is asked for; ask for other prefixes".into()
    })
}

fn silent(client: &ClientSnapshot, now: SystemTime) -> Option<String> {
    let quiet = elapsed(client.last_seen, now);
    (client.pushes > 0 && quiet > 2 * client.push_interval + GRACE).then(|| {
        format!(
            "silent for {} although it is to push every {}: see whether it runs and reaches this host",
            format_span(quiet),
            format_span(client.push_interval)
        )
    })
}

fn missing_required(client: &ClientSnapshot, seen: &SentMetrics) -> Option<String> {
    let missing = coverage::missing_required(&seen.names, &client.metrics);
    (!missing.is_empty()).then(|| {
        let names = missing.join(", ");
        format!("required metrics missing: {names}; KIP-714 wants them of every such client: update its client library")
    })
}

/// None where clocks were set back.
fn elapsed(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

/// As people say it, cut to the largest unit.
fn format_span(span: Duration) -> String {
    let (number, unit) = match span.as_secs() {
        0 => return format!("{} ms", span.as_millis()),
        seconds @ 1..120 => (seconds, "second"),
        seconds @ 120..7_200 => (seconds / 60, "minute"),
        seconds @ 7_200..172_800 => (seconds / 3_600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}
