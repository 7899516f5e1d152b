//! `barnabas plugin list`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use barnabas::admin::client;
use barnabas::config::Config;
use barnabas::plugin::Manifest;
use barnabas::plugin::manifest;
use clap::Args;
use serde_json::{Value, json};

use super::ConfigFile;
use super::words::{size, table};

/// Flags of `plugin list`.
#[derive(Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    config: ConfigFile,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is wanted, from the files; what runs, from the host's admin endpoint where one answers.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let (written, config) = Config::load(flags.config.config.as_deref())?;
    let mut plugins = wanted(&config.plugins_dir)?;
    let host = client::get(written.admin.bind, "/v1/status").and_then(|body| Ok(serde_json::from_str::<Value>(&body)?));
    if let Ok(status) = &host {
        join(&mut plugins, status);
    }
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&plugins)?);
        return Ok(ExitCode::SUCCESS);
    }
    print!("{}", table(&HEADINGS, plugins.iter().map(|(name, plugin)| row(name, plugin))));
    if plugins.is_empty() {
        println!("no plugins: put a <name>.toml into {}", config.plugins_dir.display());
    }
    if let Err(why) = host {
        println!("\nno host answers on {}: {why:#}", written.admin.bind);
    }
    for (name, trouble) in plugins.iter().filter_map(|(name, plugin)| Some((name, trouble(plugin)?))) {
        println!("\n{name}: {trouble}");
    }
    Ok(ExitCode::SUCCESS)
}

/// By name: what the manifest says, or why it says nothing.
fn wanted(dir: &Path) -> Result<BTreeMap<String, Value>> {
    let mut plugins = BTreeMap::new();
    let files = match manifest::files(dir) {
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

fn join(plugins: &mut BTreeMap<String, Value>, status: &Value) {
    for running in status.get("plugins").and_then(Value::as_array).into_iter().flatten() {
        let Some(name) = running.get("name").and_then(Value::as_str) else { continue };
        let plugin = plugins.entry(name.to_owned()).or_insert_with(|| json!({}));
        if let Value::Object(plugin) = plugin {
            plugin.insert("running".into(), running.clone());
        }
    }
}

const HEADINGS: [&str; 10] =
    ["name", "state", "generation", "digest", "instances", "queued", "delivered", "given up", "cpu", "memory"];

fn row(name: &str, plugin: &Value) -> Vec<String> {
    let at = |path: &str| plugin.pointer(path);
    let number = |path: &str| at(path).and_then(Value::as_u64);
    let text = |path: &str| at(path).and_then(Value::as_str).unwrap_or("-").to_owned();
    let count = |path: &str| number(path).map_or_else(|| "-".into(), |n| n.to_string());
    let digest = text("/running/serving/digest");
    let given_up = ["/running/queue/ledger/dead_lettered", "/running/queue/ledger/shed"];
    vec![
        name.to_owned(),
        at("/running/state").and_then(Value::as_str).unwrap_or("not running").to_owned(),
        count("/running/serving/generation"),
        digest.trim_start_matches("sha256:").chars().take(12).collect(),
        count("/running/serving/live"),
        count("/running/queue/ledger/queued/pushes"),
        count("/running/queue/ledger/delivered/pushes"),
        at("/running").map_or_else(|| "-".into(), |_| given_up.iter().map(|p| sum(at(p))).sum::<u64>().to_string()),
        at("/running/serving/cpu_seconds").and_then(Value::as_f64).map_or_else(|| "-".into(), |s| format!("{s:.3} s")),
        number("/running/serving/memory_peak").map_or_else(|| "-".into(), |n| size(usize::try_from(n).unwrap_or(0))),
    ]
}

/// Pushes of all causes together.
fn sum(causes: Option<&Value>) -> u64 {
    let causes = causes.and_then(Value::as_object).into_iter().flatten();
    causes.filter_map(|(_, tally)| tally.get("pushes")?.as_u64()).sum()
}

/// The one sentence that an operator should read first.
fn trouble(plugin: &Value) -> Option<&str> {
    let places =
        ["/wanted/problem", "/running/failure", "/running/serving/misconfigured", "/running/serving/last_error/text"];
    places.iter().find_map(|place| plugin.pointer(place)?.as_str())
}
