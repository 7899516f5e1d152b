//! `--watch`: which clients match, as they come.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result};
use barnabas::admin::client::AdminClient;
use serde_json::Value;

use super::super::format::escape;

/// How often the host is asked.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Most clients that are told one by one.
const LIMIT: u32 = 10_000;

/// Prints a line for each client that matches, and again when it has pushed under this subscription, until Ctrl-C.
pub(super) fn run(host: &AdminClient, name: &str) -> Result<ExitCode> {
    errln!("clients that match `{name}`, until Ctrl-C:");
    let mut told = BTreeMap::new();
    loop {
        for line in changes(&clients(host, name)?, &mut told) {
            outln!("{line}");
        }
        sleep(POLL_INTERVAL);
    }
}

fn clients(host: &AdminClient, name: &str) -> Result<Vec<Value>> {
    let path = format!("/v1/clients?limit={LIMIT}&subscription={}", percent_encode(name));
    let answer = host.get(&path).context("only a Barnabas host says which clients match (--admin names one)")?;
    let mut answer: Value = serde_json::from_str(&answer)?;
    Ok(answer.get_mut("clients").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default())
}

/// What was not told yet: a client that is new, and one that pushes now under this subscription and did not before.
fn changes(clients: &[Value], told: &mut BTreeMap<String, bool>) -> Vec<String> {
    let text = |client: &Value, key: &str| client.get(key).and_then(Value::as_str).map_or_else(|| "-".into(), escape);
    let mut lines = Vec::new();
    for client in clients {
        let pushes = client.get("pushes_of_subscription").and_then(Value::as_u64).unwrap_or(0) > 0;
        let id = text(client, "id");
        if told.insert(id.clone(), pushes) != Some(pushes) {
            let does = if pushes { "pushes" } else { "matches" };
            let software = text(client, "software_name");
            lines.push(format!("{id}  {does}  {software}  {}  {}", text(client, "client_id"), text(client, "source")));
        }
    }
    lines
}

/// For the query of a path.
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
    fn each_client_is_told_when_it_matches_and_when_it_pushes() {
        let mut told = BTreeMap::new();
        let client = |pushes: u64| json!({ "id": "a", "client_id": "orders", "pushes": pushes + 5, "pushes_of_subscription": pushes });
        assert_eq!(changes(&[client(0)], &mut told), ["a  matches  -  orders  -"]);
        assert_eq!(changes(&[client(0)], &mut told), Vec::<String>::new());
        assert_eq!(changes(&[client(3)], &mut told), ["a  pushes  -  orders  -"]);
        assert_eq!(changes(&[client(4)], &mut told), Vec::<String>::new());
    }

    #[test]
    fn names_survive_the_way_into_a_path() {
        assert_eq!(percent_encode("a b&c=ä"), "a%20b%26c%3D%C3%A4");
    }
}
