//! The problems of a client, one sentence each: what is wrong and how to fix it.

use std::time::{Duration, SystemTime};

use super::coverage;
use crate::admission::ClientSnapshot;
use crate::catalogue::SentMetrics;

/// A client that gets a new subscription requests it immediately; only repeated refusals are a problem.
const HARMLESS_REPEATS: u32 = 3;
/// A margin in addition to two intervals, for network delays and short intervals.
const GRACE: Duration = Duration::from_secs(10);

/// All problems of a client; none if it is gone.
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

/// What a refusal means and how to fix it, by [`Refusal::code`](crate::admission::Refusal::code).
pub(super) fn remedy(code: &str) -> &'static str {
    match code {
        "invalid_request" => {
            "it used a reserved instance id, or pushed after its terminating push, and many clients then disable \
             telemetry until they are restarted: update its client library and restart it"
        }
        "unknown_subscription" => {
            "it requests the new subscription by itself; if this repeats, hosts behind one address have different \
             subscriptions: configure the same ones"
        }
        "throttled" => {
            "it sent a request before its interval had elapsed and retries by itself; if this repeats, two clients \
             share one instance id: restart one of them"
        }
        "unsupported_compression" => "it chooses another codec by itself; if this repeats, update its client library",
        "over_quota" => {
            "its connection or its source exceeds its quota, and it retries by itself; if this repeats, raise \
             `limits.connection`, `limits.source` or the `[[quota]]` of its principal"
        }
        "too_large" => {
            "request fewer metrics, or raise the limit that it exceeds: `limits.push-bytes`, \
             `limits.decompressed-bytes` or `limits.decompression-ratio`"
        }
        "invalid_record" => {
            "it sent bytes that are not OTLP metrics, and many clients then disable telemetry until they are \
             restarted: update its client library and restart it"
        }
        _ => "see the log of the host",
    }
}

/// No metrics are requested from the client.
fn asked_for_nothing(client: &ClientSnapshot) -> Option<String> {
    let unmatched = || "no metrics requested: no subscription matches it; create one that does".into();
    let empty = || {
        let names = client.subscriptions.join("`, `");
        format!(
            "no metrics requested: subscription `{names}` has none, which excludes it; add metrics if that is not \
             intended"
        )
    };
    client.metrics.is_empty().then(|| if client.subscriptions.is_empty() { unmatched() } else { empty() })
}

/// Only recent refusals, that is within the time after which a silent client expires.
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
    let (waited, longest) = (elapsed(client.first_seen, now), client.push_interval.mul_f64(1.5));
    let ago = format_span(waited);
    if waited <= longest {
        return Some(format!(
            "never pushed: it got its subscription {ago} ago and waits up to 1.5 intervals ({}) before its first push",
            format_span(longest)
        ));
    }
    Some(format!(
        "never pushed: it got its subscription {ago} ago, and its first push was due within {}: check its log for \
         telemetry errors and restart it",
        format_span(longest)
    ))
}

fn empty_pushes(client: &ClientSnapshot, seen: Option<&SentMetrics>) -> Option<String> {
    let silent = seen.is_none_or(|seen| seen.names.is_empty() && seen.not_kept == 0);
    // Refused pushes have not been sampled, and names under another subscription are not kept.
    (silent && client.pushed_since_get && client.pushes > client.refused && !client.metrics.is_empty()).then(|| {
        "its pushes contain no metrics: none of its metrics matches the requested prefixes; request other prefixes"
            .into()
    })
}

fn silent(client: &ClientSnapshot, now: SystemTime) -> Option<String> {
    let quiet = elapsed(client.last_seen, now);
    (client.pushes > 0 && quiet > 2 * client.push_interval + GRACE).then(|| {
        format!(
            "no request for {} although its push interval is {}: check that it is running and can reach this host",
            format_span(quiet),
            format_span(client.push_interval)
        )
    })
}

fn missing_required(client: &ClientSnapshot, seen: &SentMetrics) -> Option<String> {
    let missing = coverage::missing_required(&seen.names, &client.metrics);
    (!missing.is_empty()).then(|| {
        let names = missing.join(", ");
        format!(
            "required metrics missing: {names}; KIP-714 requires them of every such client: update its client library"
        )
    })
}

/// Zero if the clock was set back.
fn elapsed(from: SystemTime, to: SystemTime) -> Duration {
    to.duration_since(from).unwrap_or_default()
}

/// A duration for people, truncated to its largest unit.
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
