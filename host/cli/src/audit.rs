//! `barnabas audit`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::format::{escape, table};
use super::{host, time};

/// Flags of `audit`.
#[derive(Args)]
pub(crate) struct AuditArgs {
    /// Maximum number of entries.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    last: u32,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Prints the last entries of the host's audit log, oldest first.
pub(crate) fn run(flags: &AuditArgs) -> Result<ExitCode> {
    let answer = flags.host.client()?.get(&format!("/v1/audit?last={}", flags.last))?;
    if flags.host.json {
        outln!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let answer: Value = serde_json::from_str(&answer)?;
    let entries = answer.get("entries").and_then(Value::as_array).into_iter().flatten();
    out!("{}", table(&HEADINGS, entries.map(row)));
    Ok(ExitCode::SUCCESS)
}

const HEADINGS: [&str; 7] = ["time", "actor", "action", "plugin", "generation", "outcome", "message"];

fn row(entry: &Value) -> Vec<String> {
    let text = |path: &str| escape(entry.pointer(path).and_then(Value::as_str).unwrap_or("-"));
    let number = |path: &str| entry.pointer(path).and_then(Value::as_u64).map_or_else(|| "-".into(), |n| n.to_string());
    let at = entry.get("unix_seconds").and_then(Value::as_f64).unwrap_or_default();
    let generation = format!("{} → {}", number("/from/generation"), number("/to/generation"));
    let grants = entry.get("grants").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let message = grants.fold(text("/message"), |message, grant| format!("{message} [{}]", escape(grant)));
    vec![time::format_time(at), text("/who"), text("/action"), text("/plugin"), generation, text("/outcome"), message]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_is_formatted_as_a_row() {
        let entry = json!({
            "unix_seconds": 1_795_333_500, "who": "uid 1000", "action": "load", "plugin": "sink", "from": null,
            "to": { "generation": 1, "digest": "sha256:ba" }, "grants": ["+ http a:1"], "outcome": "done",
            "message": "it serves\n",
        });
        let row = row(&entry).join(" | ");
        assert_eq!(row, "2026-11-22T07:45:00Z | uid 1000 | load | sink | - → 1 | done | it serves\\n [+ http a:1]");
    }
}
