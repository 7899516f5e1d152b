//! `barnabas plugin list`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use barnabas::config::Config;
use barnabas_lifecycle::{Manifest, NOT_OFFERED, manifest};
use clap::Args;
use serde_json::{Value, json};

use super::format::{escape, format_size, table};
use super::host;
use super::time::{format_time, format_time_ago, now};

/// Flags of `plugin list`.
#[derive(Args)]
pub(crate) struct PluginListArgs {
    #[command(flatten)]
    host: host::HostArgs,
}

/// Prints the desired state from the manifests, and the running state from the host if it responds. With `--admin`, the
/// manifests are on another machine, so only the running state is shown.
pub(crate) fn run(flags: &PluginListArgs) -> Result<ExitCode> {
    let (_, config) = Config::load(flags.host.config.config.as_deref())?;
    let mut plugins =
        if flags.host.admin.admin.is_some() { BTreeMap::new() } else { read_manifests(&config.plugins_dir)? };
    let status = flags.host.client()?.get("/v1/status");
    let host = status.and_then(|body| Ok(serde_json::from_str::<Value>(&body)?));
    if let Ok(status) = &host {
        add_running(&mut plugins, status);
    }
    if flags.host.json {
        outln!("{}", serde_json::to_string_pretty(&plugins)?);
        return Ok(ExitCode::SUCCESS);
    }
    if plugins.is_empty() {
        outln!("no plugins: create a manifest <name>.toml in {}", config.plugins_dir.display());
    } else {
        out!("{}", table(&HEADINGS, plugins.iter().map(|(name, plugin)| row(name, plugin))));
    }
    match host {
        Err(why) => outln!("\nthe running state is unknown: {why:#}"),
        Ok(status) if runs_nothing(&status) => outln!("\nwarning: {NOT_OFFERED}"),
        Ok(_) => {}
    }
    let now = now();
    for (name, trouble) in plugins.iter().filter_map(|(name, plugin)| Some((name, problem(plugin, now)?))) {
        outln!("\n{name}: {}", escape(&trouble));
    }
    Ok(ExitCode::SUCCESS)
}

/// The manifests by plugin name, or the problem that prevents reading one.
fn read_manifests(dir: &Path) -> Result<BTreeMap<String, Value>> {
    let mut plugins = BTreeMap::new();
    let files = match manifest::list_files(dir) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", dir.display())),
    };
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = match Manifest::read(&file) {
            Ok(manifest) => json!({ "artifact": manifest.artifact, "instances": manifest.instances }),
            Err(problem) => json!({ "problem": problem }),
        };
        plugins.insert(name, json!({ "file": file, "wanted": wanted }));
    }
    Ok(plugins)
}

fn runs_nothing(status: &Value) -> bool {
    status.get("plugins").and_then(Value::as_array).is_some_and(Vec::is_empty)
}

fn add_running(plugins: &mut BTreeMap<String, Value>, status: &Value) {
    for running in status.get("plugins").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = running.get("name").and_then(Value::as_str) else { continue };
        let plugin = plugins.entry(name.to_owned()).or_insert_with(|| json!({}));
        if let Value::Object(plugin) = plugin {
            plugin.insert("running".into(), running.clone());
        }
    }
}

const HEADINGS: [&str; 13] = [
    "name",
    "state",
    "generation",
    "since",
    "running",
    "desired",
    "rollout",
    "instances",
    "queued",
    "delivered",
    "dropped",
    "cpu",
    "memory",
];

fn row(name: &str, plugin: &Value) -> Vec<String> {
    let at = |path: &str| plugin.pointer(path);
    let number = |path: &str| at(path).and_then(Value::as_u64);
    let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or("-").to_owned();
    let number_of = |path: &str| at(path).and_then(Value::as_f64);
    let count = |path: &str| number(path).map_or_else(|| "-".into(), |n| n.to_string());
    let digest = |path: &str| text(path).trim_start_matches("sha256:").chars().take(12).collect::<String>();
    let given_up = ["/running/queue/ledger/dropped", "/running/queue/ledger/shed"];
    vec![
        name.to_owned(),
        state(plugin),
        count("/running/serving/generation"),
        number_of("/running/serving/since_unix_seconds").map_or_else(|| "-".into(), format_time),
        digest("/running/serving/digest"),
        digest("/running/desired/digest"),
        rollout(plugin),
        count("/running/serving/live"),
        count("/running/queue/ledger/queued/pushes"),
        count("/running/queue/ledger/delivered/pushes"),
        at("/running").map_or_else(|| "-".into(), |_| given_up.iter().map(|p| sum(at(p))).sum::<u64>().to_string()),
        number_of("/running/serving/cpu_seconds").map_or_else(|| "-".into(), |s| format!("{s:.3} s")),
        number("/running/serving/memory_peak")
            .map_or_else(|| "-".into(), |n| format_size(usize::try_from(n).unwrap_or(0))),
    ]
}

/// The number of pushes of all causes.
fn sum(causes: Option<&Value>) -> u64 {
    let causes = causes.and_then(Value::as_object).into_iter().flatten();
    causes.filter_map(|(_, tally)| tally.get("pushes")?.as_u64()).sum()
}

fn state(plugin: &Value) -> String {
    let state = plugin.pointer("/running/state").and_then(Value::as_str).unwrap_or("not running");
    let paused = plugin.pointer("/running/paused").and_then(Value::as_bool).unwrap_or(false);
    if paused && state != "paused" { format!("{state}, paused") } else { state.to_owned() }
}

/// The swap in progress, as generation and stage.
fn rollout(plugin: &Value) -> String {
    let Some(rollout) = plugin.pointer("/running/rollout").and_then(Value::as_object) else { return "-".into() };
    let generation = rollout.get("generation").and_then(Value::as_u64).map(|n| n.to_string());
    let stage = rollout.get("stage").and_then(Value::as_str).map(str::to_owned);
    [generation, stage].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The most important problem, in one sentence.
fn problem(plugin: &Value, now: f64) -> Option<String> {
    let text = |place: &str| plugin.pointer(place)?.as_str();
    if let Some(why) = text("/running/desired/problem").or_else(|| text("/running/failure")) {
        let short = |place: &str| text(place).map(|digest| digest.get(..19).unwrap_or(digest).to_owned());
        let desired = short("/running/desired/digest").unwrap_or_else(|| "unknown".into());
        let running = short("/running/serving/digest").unwrap_or_else(|| "none".into());
        let other = if desired == running { " with other settings" } else { "" };
        return Some(format!("desired {desired}{other}, running {running}, because {why}"));
    }
    if let Some(problem) = text("/wanted/problem") {
        return Some(problem.to_owned());
    }
    let moment = |key: &str| plugin.pointer(&format!("/running/serving/last_error/{key}")).and_then(Value::as_f64);
    let at = moment("at_unix_seconds").map_or_else(String::new, |at| format!(" ({})", format_time_ago(at, now)));
    if let Some(reason) = text("/running/serving/misconfigured") {
        return Some(format!("misconfigured according to the receiver{at}: {reason}"));
    }
    let error = text("/running/serving/last_error/text")?;
    Some(match moment("recovered_at_unix_seconds") {
        None => format!("last error{at}: {error}"),
        Some(recovered) => format!("recovered ({}); last error{at}: {error}", format_time_ago(recovered, now)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_desired_and_running_state_and_the_rollout() {
        let running = json!({
            "name": "sink", "state": "serving", "paused": true,
            "desired": { "digest": "sha256:bbbbbbbbbbbbbbbb", "problem": "its canary failed" },
            "serving": {
                "generation": 3, "digest": "sha256:aaaaaaaaaaaaaaaa", "live": 2, "since_unix_seconds": 1_795_333_500.5,
            },
            "rollout": { "generation": 5, "stage": "shadow" },
        });
        let plugin = json!({ "running": running });
        let row = row("sink", &plugin);
        assert_eq!(row.len(), HEADINGS.len());
        let since = "2026-11-22T07:45:00Z";
        assert_eq!(row[..7], ["sink", "serving, paused", "3", since, "aaaaaaaaaaaa", "bbbbbbbbbbbb", "5 shadow"]);
        assert_eq!(
            problem(&plugin, 100.0).unwrap(),
            "desired sha256:bbbbbbbbbbbb, running sha256:aaaaaaaaaaaa, because its canary failed"
        );
    }

    #[test]
    fn a_candidate_that_was_rolled_back_is_shown_as_desired() {
        let running = json!({
            "desired": { "digest": "sha256:bbbbbbbbbbbbbbbb" }, "failure": "its canary failed",
            "serving": { "digest": "sha256:aaaaaaaaaaaaaaaa", "last_error": { "text": "503" } },
        });
        assert_eq!(
            problem(&json!({ "running": running }), 100.0).unwrap(),
            "desired sha256:bbbbbbbbbbbb, running sha256:aaaaaaaaaaaa, because its canary failed"
        );
        let unreadable = json!({ "running": { "desired": { "problem": "no `artifact`" } } });
        assert_eq!(problem(&unreadable, 100.0).unwrap(), "desired unknown, running none, because no `artifact`");
    }

    #[test]
    fn an_error_has_its_time_and_is_recovered_after_an_accepted_batch() {
        let serving = |serving: Value| problem(&json!({ "running": { "serving": serving } }), 13.0).unwrap();
        let error = json!({ "at_unix_seconds": 1.0, "text": "422" });
        let at = "(1970-01-01T00:00:01Z, 12.0 s ago)";
        assert_eq!(serving(json!({ "last_error": error })), format!("last error {at}: 422"));
        let said = serving(json!({ "last_error": error, "misconfigured": "check the token" }));
        assert_eq!(said, format!("misconfigured according to the receiver {at}: check the token"));
        let error = json!({ "at_unix_seconds": 1.0, "text": "422", "recovered_at_unix_seconds": 3.0 });
        let said = serving(json!({ "last_error": error }));
        assert_eq!(said, format!("recovered (1970-01-01T00:00:03Z, 10.0 s ago); last error {at}: 422"));
    }

    #[test]
    fn a_plugin_that_does_not_run_has_its_problem() {
        let plugin = json!({ "wanted": { "problem": "no `artifact`" } });
        assert_eq!(row("sink", &plugin)[..4], ["sink", "not running", "-", "-"]);
        assert_eq!(problem(&plugin, 100.0).unwrap(), "no `artifact`");
        assert_eq!(problem(&json!({ "running": { "state": "serving" } }), 100.0), None);
    }
}
