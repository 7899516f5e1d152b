//! `barnabas client list`.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Result;
use barnabas_base::messages::count_noun;
use clap::Args;
use serde_json::Value;

use super::format::{escape, table};
use super::{host, time};

/// Flags of `client list`.
#[derive(Args)]
pub(crate) struct ClientListArgs {
    /// Maximum number of clients.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only clients whose software name and version contain this text, such as `rdkafka` or `java 4.0`.
    #[arg(long, value_name = "TEXT")]
    software: Option<String>,
    /// Only clients whose client.id contains this text.
    #[arg(long, value_name = "TEXT")]
    client_id: Option<String>,
    /// Only clients that this subscription matches.
    #[arg(long, value_name = "NAME")]
    subscription: Option<String>,
    #[command(flatten)]
    host: host::HostArgs,
}

/// Prints the clients as a table, then the problems of each.
pub(crate) fn run(flags: &ClientListArgs) -> Result<ExitCode> {
    let answer = flags.host.client()?.get(&path(flags))?;
    if flags.host.json {
        outln!("{answer}");
    } else {
        out!("{}", page(&serde_json::from_str(&answer)?));
    }
    Ok(ExitCode::SUCCESS)
}

fn path(flags: &ClientListArgs) -> String {
    let sought =
        [("software", &flags.software), ("client-id", &flags.client_id), ("subscription", &flags.subscription)];
    let sought = sought.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    sought.fold(format!("/v1/clients?limit={}", flags.limit), |path, (key, value)| {
        format!("{path}&{key}={}", percent_encode(value))
    })
}

/// Percent-encodes (RFC 3986) everything except letters, digits, `-` and `_`.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(escaped, "%{byte:02X}");
        }
        escaped
    })
}

const HEADINGS: [&str; 11] = [
    "client instance id",
    "client id",
    "software",
    "role",
    "source",
    "state",
    "last seen",
    "interval",
    "subscriptions",
    "pushes",
    "refused",
];

fn page(list: &Value) -> String {
    let clients: &[Value] = list.get("clients").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let number = |key: &str| list.get(key).and_then(Value::as_u64).unwrap_or_default();
    let (known, matching) = (number("known"), number("matching"));
    if clients.is_empty() {
        return format!("no client matches ({known} known)\n");
    }
    let mut page = table(&HEADINGS, clients.iter().map(row));
    if clients.len() as u64 != known {
        let _ = writeln!(
            page,
            "\nshowing {} of {} ({known} known)",
            clients.len(),
            count_noun(matching, "matching client")
        );
    }
    for client in clients {
        let troubles = client.get("trouble").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        for trouble in troubles {
            let _ = writeln!(page, "\n{} ({}): {}", text(client, "id"), text(client, "client_id"), escape(trouble));
        }
    }
    page
}

fn row(client: &Value) -> Vec<String> {
    let number = |key: &str| client.get(key).and_then(Value::as_u64).map_or_else(|| "-".into(), |n| n.to_string());
    let of = |key: &str| client.get(key).and_then(Value::as_f64);
    let software = [text(client, "software_name"), text(client, "software_version")];
    let gone = client.get("gone").and_then(Value::as_bool).unwrap_or_default();
    vec![
        text(client, "id"),
        text(client, "client_id"),
        software.join(" ").trim_end_matches(" -").to_owned(),
        text(client, "role"),
        text(client, "source"),
        if gone { "expired".into() } else { "active".into() },
        of("last_seen_unix_seconds").map_or_else(|| "-".into(), time::format_time),
        of("push_interval_seconds").map_or_else(|| "-".into(), |seconds| format!("{seconds} s")),
        names(client.get("subscriptions")),
        number("pushes"),
        number("refused"),
    ]
}

/// A text value of the host, with control characters escaped.
pub(super) fn text(client: &Value, key: &str) -> String {
    escape(client.get(key).and_then(Value::as_str).unwrap_or("-"))
}

/// A list of names as one cell.
pub(super) fn names(list: Option<&Value>) -> String {
    let names = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let names: Vec<String> =
        names.map(|name| if name.is_empty() { "\"\" (all)".into() } else { escape(name) }).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_has_rows_followed_by_problems() {
        let client = json!({
            "id": "cBrordIqXpq0qkqcvYahPA", "client_id": "a\u{1b}", "software_name": "librdkafka",
            "software_version": "2.16.0", "source": "192.0.2.7:4711", "role": "producer", "gone": false,
            "last_seen_unix_seconds": 1_795_333_500.5, "push_interval_seconds": 0.1, "subscriptions": ["a", "b"],
            "pushes": 7, "refused": 1, "trouble": ["refused once, last too_large: ask for fewer metrics"],
        });
        let page = page(&json!({ "known": 3, "matching": 2, "clients": [client] }));
        let lines: Vec<&str> = page.lines().collect();
        let cells: Vec<&str> = lines[1].split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect();
        assert_eq!(
            cells,
            [
                "cBrordIqXpq0qkqcvYahPA",
                "a\\u{1b}",
                "librdkafka 2.16.0",
                "producer",
                "192.0.2.7:4711",
                "active",
                "2026-11-22T07:45:00Z",
                "0.1 s",
                "a, b",
                "7",
                "1"
            ]
        );
        assert_eq!(lines[3], "showing 1 of 2 matching clients (3 known)");
        assert_eq!(lines[5], "cBrordIqXpq0qkqcvYahPA (a\\u{1b}): refused once, last too_large: ask for fewer metrics");
    }

    #[test]
    fn an_unknown_value_is_a_dash_and_an_empty_list_is_a_message() {
        let row = row(&json!({ "id": "x", "gone": true }));
        assert_eq!(row, ["x", "-", "-", "-", "-", "expired", "-", "-", "none", "-", "-"]);
        assert_eq!(page(&json!({ "known": 3, "matching": 0, "clients": [] })), "no client matches (3 known)\n");
    }

    #[test]
    fn filters_are_percent_encoded_in_the_path() {
        assert_eq!(percent_encode("java 4.0&é+"), "java%204%2E0%26%C3%A9%2B");
    }
}
