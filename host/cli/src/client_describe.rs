//! `barnabas client describe`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Error, Result};
use barnabas_base::InstanceId;
use clap::Args;
use serde_json::Value;

use super::client_list::{names, text};
use super::format::escape;
use super::{host, time};

/// Flags of `client describe`.
#[derive(Args)]
pub(crate) struct ClientDescribeArgs {
    /// Client instance id as in the client's log (base64 or base64url), as hex digits, or as a UUID.
    #[arg(allow_hyphen_values = true)]
    id: String,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Prints everything that the host knows about the client.
pub(crate) fn run(flags: &ClientDescribeArgs) -> Result<ExitCode> {
    let id = InstanceId::parse_any(&flags.id).map_err(Error::msg)?;
    let answer = flags.host.client()?.get(&format!("/v1/clients/{id}"))?;
    if flags.host.json {
        outln!("{answer}");
    } else {
        out!("{}", page(&serde_json::from_str(&answer)?));
    }
    Ok(ExitCode::SUCCESS)
}

/// One line per value, then the metrics, then the problems.
fn page(client: &Value) -> String {
    let mut page = String::new();
    let lines = lines(client);
    let width = lines.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    for (label, value) in lines {
        let _ = writeln!(page, "{label:<width$}  {value}");
    }
    match client.get("metrics").filter(|metrics| metrics.is_object()) {
        Some(metrics) => coverage(&mut page, metrics),
        None => page.push_str("\nno metrics seen yet\n"),
    }
    let troubles = client.get("trouble").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for trouble in troubles {
        let _ = writeln!(page, "\n{}", escape(trouble));
    }
    page
}

fn lines(client: &Value) -> Vec<(&'static str, String)> {
    let of = |key: &str| text(client, key);
    let number = |key: &str| client.get(key).map_or_else(|| "-".into(), |value| escape(&value.to_string()));
    let gone = client.get("gone").and_then(Value::as_bool).unwrap_or_default();
    vec![
        ("client instance id", of("id")),
        ("id (base64)", of("id_base64")),
        ("id (hex)", of("id_hex")),
        ("client id", of("client_id")),
        ("software", format!("{} {}", of("software_name"), of("software_version")).trim_end_matches(" -").to_owned()),
        ("role", of("role")),
        ("source", of("source")),
        ("principal", of("principal")),
        ("listener", of("listener")),
        ("state", if gone { "expired".into() } else { "active".into() }),
        ("since", moment(client, "since_unix_seconds")),
        ("last seen", moment(client, "last_seen_unix_seconds")),
        ("push interval", format!("{} s", number("push_interval_seconds"))),
        ("subscription id", number("subscription_id")),
        ("subscriptions", names(client.get("subscriptions"))),
        ("requested metrics", names(client.get("metric_prefixes"))),
        ("connections", number("connections")),
        ("subscription requests", number("gets")),
        ("pushes", number("pushes")),
        ("refused", number("refused")),
        ("last refusal", refusal(client.get("last_refusal"))),
    ]
}

fn moment(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_f64).map_or_else(|| "-".into(), time::format_time)
}

fn refusal(refusal: Option<&Value>) -> String {
    let Some(refusal) = refusal.filter(|refusal| refusal.is_object()) else { return "none".into() };
    format!("{} at {}: {}", text(refusal, "code"), moment(refusal, "at_unix_seconds"), text(refusal, "remedy"))
}

fn coverage(page: &mut String, metrics: &Value) {
    let _ = writeln!(page, "\nmetrics, as of the push at {}", moment(metrics, "seen_unix_seconds"));
    let number = |key: &str| metrics.get(key).and_then(Value::as_u64).unwrap_or_default();
    for (label, key) in [
        ("required, present", "required_present"),
        ("required, missing", "required_missing"),
        ("other standard metrics", "standard"),
        ("beyond the standard", "beyond"),
        ("unknown", "unknown"),
    ] {
        let names: Vec<&str> =
            metrics.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let count = number("unknown_count").max(names.len() as u64);
        let count = if key == "unknown" { count } else { names.len() as u64 };
        let _ = writeln!(page, "  {label}: {count}");
        names.iter().for_each(|name| _ = writeln!(page, "    {}", escape(name)));
        if count > names.len() as u64 {
            let _ = writeln!(page, "    and {} more", count - names.len() as u64);
        }
    }
    if number("not_kept") > 0 {
        let _ = writeln!(page, "  not stored, over the limit: {}", number("not_kept"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_has_values_metrics_and_problems() {
        let client = json!({
            "id": "cBrordIqXpq0qkqcvYahPA", "client_id": "orders", "software_name": "librdkafka",
            "software_version": null, "gone": false, "since_unix_seconds": 1_795_333_500, "push_interval_seconds": 60.0,
            "subscription_id": -7, "subscriptions": ["all"], "metric_prefixes": [""], "pushes": 2,
            "last_refusal": { "code": "throttled", "at_unix_seconds": 1_795_333_500, "remedy": "wait" },
            "metrics": {
                "seen_unix_seconds": 1_795_333_500, "required_present": ["org.a"], "required_missing": [],
                "unknown": ["app\u{1b}"], "unknown_count": 3, "not_kept": 4,
            },
            "trouble": ["it is in trouble"],
        });
        insta::assert_snapshot!(page(&client));
    }

    #[test]
    fn a_client_without_pushes_has_no_metrics() {
        let page = page(&json!({ "id": "x", "metrics": null, "last_refusal": null }));
        assert!(page.contains("no metrics seen yet") && page.contains("last refusal           none"), "{page}");
    }
}
