//! `--watch`: lists matching clients as they connect.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use barnabas_admin::client::AdminClient;
use serde_json::Value;

use super::super::format::escape;

/// How often the host is polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum number of clients that are listed.
const LIMIT: u32 = 10_000;

/// Prints a line for each client that matches, and another one when it has pushed under this subscription, until Ctrl-C.
pub(super) fn run(host: &AdminClient, name: &str) -> Result<ExitCode> {
    errln!("watching clients that match `{name}`; stop with Ctrl-C");
    let mut notified = BTreeMap::new();
    loop {
        for line in changes(&clients(host, name)?, &mut notified) {
            outln!("{line}");
        }
        sleep(POLL_INTERVAL);
    }
}

fn clients(host: &AdminClient, name: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/clients?limit={LIMIT}&subscription={}", percent_encode(name));
    let answer =
        host.get(&path).context("--watch needs the admin endpoint of a Barnabas host; specify it with --admin")?;
    let mut answer: Value = serde_json::from_str(&answer)?;
    Ok(answer.get_mut("clients").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
}

/// Lines for clients that are new, and for clients that have started to push under this subscription.
fn changes(clients: &[Value], notified: &mut BTreeMap<String, bool>) -> Vec<String> {
    let text = |client: &Value, key: &str| client.get(key).and_then(Value::as_str).map_or_else(|| "-".into(), escape);
    let mut lines = Vec::new();
    for client in clients {
        let pushes = client.get("pushes_of_subscription").and_then(Value::as_u64).unwrap_or(0) > 0;
        let id = text(client, "id");
        if notified.insert(id.clone(), pushes) != Some(pushes) {
            let does = if pushes { "pushes" } else { "matches" };
            let software = text(client, "software_name");
            lines.push(format!("{id}  {does}  {software}  {}  {}", text(client, "client_id"), text(client, "source")));
        }
    }
    lines
}

/// Percent-encodes a value of the query.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_is_listed_when_it_matches_and_when_it_pushes() {
        let mut notified = BTreeMap::new();
        let client = |pushes: u64| json!({ "id": "a", "client_id": "orders", "pushes": pushes + 5, "pushes_of_subscription": pushes });
        assert_eq!(changes(&[client(0)], &mut notified), ["a  matches  -  orders  -"]);
        assert_eq!(changes(&[client(0)], &mut notified), Vec::<String>::new());
        assert_eq!(changes(&[client(3)], &mut notified), ["a  pushes  -  orders  -"]);
        assert_eq!(changes(&[client(4)], &mut notified), Vec::<String>::new());
    }

    #[test]
    fn names_are_percent_encoded() {
        assert_eq!(percent_encode("a b&c=ä"), "a%20b%26c%3D%C3%A4");
    }
}
