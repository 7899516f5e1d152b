//! Formats the description of a plugin: its status and health first, then its settings, grants and limits.
//!
//! In: the JSON response of the host, and the time. Out: aligned lines. Values that the response does not have are left
//! out, so that the command also works with older and newer hosts.

use std::fmt::Write as _;

use barnabas_base::messages::count_noun;
use serde_json::Value;

use crate::format::{escape, format_seconds, format_size};
use crate::time::{format_time, format_time_ago};

/// A label and its value.
type PageLine = (String, String);

/// Formats the whole page. `now` is in seconds since the Unix epoch.
pub(super) fn render(plugin: &Value, now: f64) -> String {
    let plugin = PluginPage { plugin, now };
    let mut page = String::new();
    section(&mut page, "", &plugin.lines());
    for (title, lines) in plugin.terms() {
        section(&mut page, title, &lines);
    }
    page
}

/// Appends aligned lines under a title. Without lines, appends nothing.
fn section(page: &mut String, title: &str, lines: &[PageLine]) {
    let indent = if title.is_empty() { "" } else { "  " };
    let width = lines.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    if !title.is_empty() && !lines.is_empty() {
        let _ = writeln!(page, "\n{title}");
    }
    for (label, words) in lines {
        let line = format!("{indent}{label:<width$}  {words}");
        let _ = writeln!(page, "{}", line.trim_end());
    }
}

struct PluginPage<'a> {
    plugin: &'a Value,
    now: f64,
}

impl PluginPage<'_> {
    fn text(&self, path: &str) -> Option<String> {
        self.plugin.pointer(path).and_then(Value::as_str).map(escape)
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.plugin.pointer(path).and_then(Value::as_u64)
    }

    fn seconds(&self, path: &str) -> Option<f64> {
        self.plugin.pointer(path).and_then(Value::as_f64)
    }

    fn flag(&self, path: &str) -> bool {
        self.plugin.pointer(path).and_then(Value::as_bool).unwrap_or(false)
    }

    /// `2026-11-22T07:45:00Z, 3 min ago`.
    fn time_ago(&self, path: &str) -> Option<String> {
        Some(format_time_ago(self.seconds(path)?, self.now))
    }

    fn lines(&self) -> Vec<PageLine> {
        let lines = [
            ("plugin", self.text("/name")),
            ("state", Some(self.state())),
            ("health", Some(self.health())),
            ("desired", self.desired()),
            ("rollout", self.rollout()),
            ("backlog", self.backlog()),
            ("delivered", self.delivered()),
            ("dropped", self.dropped()),
            ("last error", self.last_error()),
            ("cost", self.cost()),
            ("instances", self.instances()),
            ("stored state", self.state_kept()),
            ("log", self.log()),
            ("contract", self.text("/serving/contract")),
            ("digest", self.text("/serving/digest")),
            ("manifest", self.text("/file")),
        ];
        let lines = lines.into_iter().filter_map(|(label, words)| Some((label.to_owned(), words?)));
        lines.chain(self.retained()).chain(self.refused()).collect()
    }

    fn state(&self) -> String {
        let state = self.text("/state").unwrap_or_else(|| "unknown".into());
        let paused = if self.flag("/paused") && state != "paused" { ", paused" } else { "" };
        let Some(generation) = self.number("/serving/generation") else { return format!("{state}{paused}") };
        let since = self
            .seconds("/serving/since_unix_seconds")
            .map(|since| format!(" since {}, for {}", format_time(since), format_seconds((self.now - since).max(0.0))));
        format!("{state}{paused}: generation {generation}{}", since.unwrap_or_default())
    }

    /// `healthy`, or the most important problem.
    fn health(&self) -> String {
        if self.plugin.pointer("/serving").is_none_or(Value::is_null) {
            let why = self.text("/failure").or_else(|| self.text("/desired/problem"));
            return why.map_or_else(|| "no generation serves yet".into(), |why| format!("no generation serves: {why}"));
        }
        if self.flag("/paused") {
            return "paused: the receiver gets no batches, and pushes wait in the queue".into();
        }
        if let Some(why) = self.text("/serving/misconfigured") {
            return format!("misconfigured: {why}");
        }
        if self.number("/serving/live") == Some(0) {
            return "no instance is running; one is restarted after a backoff, see the last error".into();
        }
        match self.number("/queue/waiting_lanes").unwrap_or_default() {
            0 => "healthy".into(),
            lanes => {
                let retry = self
                    .seconds("/queue/next_retry_seconds")
                    .map(|wait| format!("; next retry in {}", format_seconds(wait)));
                format!(
                    "retrying: the last batches of {} were not accepted{}",
                    count_noun(lanes, "lane"),
                    retry.unwrap_or_default()
                )
            }
        }
    }

    /// The desired generation, only if it is not the serving one.
    fn desired(&self) -> Option<String> {
        if self.flag("/desired/runs") || self.plugin.pointer("/desired").is_none() {
            return None;
        }
        let digest = self.text("/desired/digest");
        let same = digest.is_some() && digest == self.text("/serving/digest");
        let what = match digest {
            Some(_) if same => "the same artifact with other settings".into(),
            Some(digest) => digest,
            None => "a manifest that cannot be read".into(),
        };
        let stage = self.text("/failed/stage").map(|stage| format!(" at {stage}")).unwrap_or_default();
        let at = self.time_ago("/failed/at_unix_seconds").map(|at| format!(" ({at})")).unwrap_or_default();
        let why = self.text("/desired/problem").or_else(|| self.text("/failure"));
        Some(match why {
            Some(why) => format!("{what} (not serving; failed{stage}{at}: {why})"),
            None => format!("{what} (not serving yet)"),
        })
    }

    fn rollout(&self) -> Option<String> {
        let generation = self.number("/rollout/generation")?;
        let stage = self.text("/rollout/stage").map(|stage| format!(" at stage {stage}")).unwrap_or_default();
        let news = self.text("/rollout/news").map(|news| format!(": {news}")).unwrap_or_default();
        Some(format!("generation {generation}{stage}{news}"))
    }

    /// `12 pushes (1.2 MiB)`.
    fn pushes_and_bytes(&self, path: &str) -> Option<String> {
        let pushes = self.number(&format!("{path}/pushes"))?;
        let bytes = self.number(&format!("{path}/bytes")).filter(|_| pushes > 0);
        Some(count_noun(pushes, "push") + &bytes.map(|bytes| format!(" ({})", format_bytes(bytes))).unwrap_or_default())
    }

    fn backlog(&self) -> Option<String> {
        let queued = self.pushes_and_bytes("/queue/ledger/queued")?;
        let oldest =
            self.seconds("/queue/oldest_seconds").map(|age| format!(", the oldest for {}", format_seconds(age)));
        let under_way = self.pushes_and_bytes("/queue/ledger/in_flight")?;
        let notices = self.number("/queue/notices").filter(|notices| *notices > 0);
        let notices = notices.map(|notices| format!("; {} queued", count_noun(notices, "termination notice")));
        Some(format!(
            "{queued} queued{}; {under_way} in flight{}",
            oldest.unwrap_or_default(),
            notices.unwrap_or_default()
        ))
    }

    fn delivered(&self) -> Option<String> {
        let delivered = self.pushes_and_bytes("/queue/ledger/delivered")?;
        let again = self.number("/queue/ledger/redelivered/pushes").filter(|pushes| *pushes > 0);
        let again = again.map(|pushes| format!("; {} redelivered", count_noun(pushes, "push")));
        let points = self.number("/serving/rejected_points").filter(|points| *points > 0);
        let points = points.map(|points| format!("; the sink discarded {}", count_noun(points, "data point")));
        Some(format!("{delivered}{}{}", again.unwrap_or_default(), points.unwrap_or_default()))
    }

    /// Lost pushes by cause: first those that were dropped, then those that were shed.
    fn dropped(&self) -> Option<String> {
        let causes = |term: &str| {
            let causes = self.plugin.pointer(&format!("/queue/ledger/{term}"))?.as_object()?;
            Some(causes.iter().filter_map(|(cause, tally)| Some((escape(cause), tally.get("pushes")?.as_u64()?))))
        };
        let (dead, shed) = (causes("dropped")?, causes("shed")?);
        let dead = dead.map(|(cause, pushes)| (format!("{cause} (dropped)"), pushes));
        let shed = shed.map(|(cause, pushes)| (format!("{cause} (shed)"), pushes));
        let all: Vec<_> = dead.chain(shed).filter(|(_, pushes)| *pushes > 0).collect();
        if all.is_empty() {
            return Some("none".into());
        }
        let sum: u64 = all.iter().map(|(_, pushes)| pushes).sum();
        let causes: Vec<_> = all.iter().map(|(cause, pushes)| format!("{pushes} {cause}")).collect();
        Some(format!("{}: {}", count_noun(sum, "push"), causes.join(", ")))
    }

    fn last_error(&self) -> Option<String> {
        let text = self.text("/serving/last_error/text")?;
        let recovered = self.time_ago("/serving/last_error/recovered_at_unix_seconds");
        let recovered = recovered.map(|at| format!("; recovered: a batch was accepted {at}")).unwrap_or_default();
        Some(format!("{}: {text}{recovered}", self.time_ago("/serving/last_error/at_unix_seconds")?))
    }

    fn cost(&self) -> Option<String> {
        let (cpu, batches) = (self.seconds("/serving/cpu_seconds")?, self.number("/serving/batches").unwrap_or(0));
        #[allow(clippy::cast_precision_loss, reason = "for reading")]
        let each =
            if batches > 0 { format!(" ({} per batch)", format_seconds(cpu / batches as f64)) } else { String::new() };
        let limit = self.text("/terms/limits/memory").map(|limit| format!(" (limit {limit})")).unwrap_or_default();
        // Nothing was measured before the first batch.
        let memory = self.number("/serving/memory_peak").filter(|bytes| *bytes > 0);
        let memory = memory.map(|bytes| format!("; peak memory of an instance {}{limit}", format_bytes(bytes)));
        Some(format!(
            "{} of CPU for {}{each}{}",
            format_seconds(cpu),
            count_noun(batches, "batch"),
            memory.unwrap_or_default()
        ))
    }

    fn instances(&self) -> Option<String> {
        let (live, wanted) = (self.number("/serving/live")?, self.number("/serving/instances")?);
        let crashes = self.number("/serving/crashes").unwrap_or_default();
        let crashes = if crashes == 0 { String::new() } else { format!("; {}", count_noun(crashes, "crash")) };
        let replaced = self.number("/serving/replaced").filter(|replaced| *replaced > 0);
        let replaced = replaced.map(|number| format!("; {number} replaced because of too many open handles"));
        Some(format!("{live} of {wanted} running{crashes}{}", replaced.unwrap_or_default()))
    }

    fn state_kept(&self) -> Option<String> {
        let (keys, bytes) = (self.number("/state_usage/keys")?, self.number("/state_usage/bytes")?);
        Some(format!("{}, {}", count_noun(keys, "key"), format_bytes(bytes)))
    }

    /// Lost log lines, if any.
    fn log(&self) -> Option<String> {
        let lost = |at: usize| self.number(&format!("/serving/log_losses/{at}")).unwrap_or_default();
        match (lost(0), lost(1)) {
            (0, 0) => None,
            (cut, dropped) => {
                Some(format!("{} truncated, {dropped} dropped because of the log limits", count_noun(cut, "line")))
            }
        }
    }

    fn retained(&self) -> Vec<PageLine> {
        let kept = self.plugin.pointer("/kept").and_then(Value::as_array).into_iter().flatten();
        let line = |release: &Value| {
            let (number, digest) = (release.get("generation")?.as_u64()?, release.get("digest")?.as_str()?);
            let since = release.get("since_unix_seconds").and_then(Value::as_f64).map(format_time).unwrap_or_default();
            Some(("retained".to_owned(), format!("generation {number}, {}, serving since {since}", escape(digest))))
        };
        kept.filter_map(line).collect()
    }

    fn refused(&self) -> Option<PageLine> {
        let (digest, reason) = (self.text("/refused/digest")?, self.text("/refused/reason")?);
        let stage = self.text("/refused/stage").unwrap_or_default();
        let at = self.time_ago("/refused/at_unix_seconds").unwrap_or_default();
        Some(("refused".into(), format!("{digest} at stage {stage} ({at}): {reason}")))
    }

    /// The tables of the serving generation's manifest, including defaults.
    fn terms(&self) -> Vec<(&'static str, Vec<PageLine>)> {
        let Some(terms) = self.plugin.get("terms") else { return Vec::new() };
        let table = |key: &str| {
            let mut lines = Vec::new();
            flatten(&mut lines, "", terms.get(key).unwrap_or(&Value::Null));
            lines
        };
        let none = |lines: Vec<PageLine>, words: &str| {
            if lines.is_empty() { vec![(words.to_owned(), String::new())] } else { lines }
        };
        let grants = terms.get("grants").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let grants = grants.map(|grant| {
            let (kind, rest) = grant.split_once(' ').unwrap_or((grant, ""));
            (escape(kind), escape(rest))
        });
        vec![
            ("settings", none(table("settings"), "none")),
            ("grants", none(grants.collect(), "none")),
            ("limits", table("limits")),
            ("batches", table("batch")),
            ("queue", table("queue")),
            ("want", none(table("want"), "all pushes")),
        ]
    }
}

/// Appends every value with its path, such as `headers.x-tenant`.
fn flatten(lines: &mut Vec<PageLine>, path: &str, value: &Value) {
    match value {
        Value::Null => {}
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { escape(name) } else { format!("{path}.{}", escape(name)) };
            flatten(lines, &path, value);
        }),
        Value::String(text) => lines.push((path.to_owned(), escape(text))),
        other => lines.push((path.to_owned(), escape(&other.to_string()))),
    }
}

fn format_bytes(bytes: u64) -> String {
    format_size(usize::try_from(bytes).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
