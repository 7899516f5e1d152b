//! `barnabas plugin logs`.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use barnabas_admin::client::AdminClient;
use clap::Args;
use serde_json::Value;

use super::format::escape;
use super::{change, host, time};

/// Polling interval of `--follow`.
const PAUSE: Duration = Duration::from_secs(1);

/// Flags of `plugin logs`.
#[derive(Args)]
pub(crate) struct PluginLogsArgs {
    /// Name of the plugin.
    name: String,
    /// Follow the log until Ctrl-C.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Prints the log lines of the receiver that the host retains.
pub(crate) fn run(flags: &PluginLogsArgs) -> Result<ExitCode> {
    let (client, path) = (flags.host.client()?, change::plugin_path(&flags.name, "/logs")?);
    let mut last = None;
    loop {
        let lines = lines(&client, &path)?;
        for line in lines_after(&lines, last.as_ref()) {
            outln!("{}", if flags.host.json { line.to_string() } else { format_line(line) });
        }
        last = lines.last().cloned().or(last);
        if !flags.follow {
            return Ok(ExitCode::SUCCESS);
        }
        sleep(PAUSE);
    }
}

fn lines(client: &AdminClient, path: &str) -> Result<Vec<Value>> {
    let mut answer: Value = serde_json::from_str(&client.get(path)?)?;
    Ok(answer.get_mut("lines").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
}

/// The lines after the last printed one, or all lines if the host no longer retains that one.
fn lines_after<'a>(lines: &'a [Value], last: Option<&Value>) -> &'a [Value] {
    let shown = last.and_then(|last| lines.iter().rposition(|line| line == last));
    lines.get(shown.map_or(0, |at| at + 1)..).unwrap_or_default()
}

fn format_line(line: &Value) -> String {
    let text = |key: &str| escape(line.get(key).and_then(Value::as_str).unwrap_or_default());
    let at = line.get("at_unix_seconds").and_then(Value::as_f64).unwrap_or_default();
    let generation = line.get("generation").and_then(Value::as_u64).filter(|number| *number > 0);
    let generation = generation.map_or_else(|| "-".into(), |number| number.to_string());
    format!("{}  {generation:>3}  {:<5}  {}", time::format_time(at), text("level"), text("text"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_new_lines_are_printed() {
        let lines: Vec<_> = (0..4).map(|n| json!({ "at_unix_seconds": n, "text": "same" })).collect();
        assert_eq!(lines_after(&lines, None).len(), 4);
        assert_eq!(lines_after(&lines, lines.get(1)), lines.get(2..).unwrap());
        assert_eq!(lines_after(&lines, lines.last()), [Value::Null; 0]);
        assert_eq!(lines_after(&lines, Some(&json!("long gone"))).len(), 4);
    }

    #[test]
    fn a_line_has_its_time_and_generation_and_level() {
        let line = json!({ "at_unix_seconds": 1.5, "generation": 4, "level": "warn", "text": "a\nb" });
        assert_eq!(format_line(&line), "1970-01-01T00:00:01Z    4  warn   a\\nb");
        let trial = json!({ "at_unix_seconds": 1.5, "generation": 0, "level": "warn", "text": "a" });
        assert_eq!(format_line(&trial), "1970-01-01T00:00:01Z    -  warn   a");
    }
}
