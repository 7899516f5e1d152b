//! `barnabas subscription list` and `describe`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barnabas_kafka_client::{KafkaClient, SubscriptionDescription, SubscriptionSetting};
use clap::Args;
use serde_json::{Map, Value, json};

use super::super::format::{escape, table};
use super::broker::{BrokerArgs, SubscriptionNameArgs, require_success};

/// Flags of `subscription list`.
#[derive(Args)]
pub(crate) struct SubscriptionListArgs {
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Flags of `subscription describe`.
#[derive(Args)]
pub(crate) struct SubscriptionDescribeArgs {
    #[command(flatten)]
    subscription: SubscriptionNameArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Prints all subscriptions as a table.
pub(crate) fn run(flags: &SubscriptionListArgs) -> Result<ExitCode> {
    let all = flags.broker.run_with_client(async |client| {
        let names = list_names(client).await?;
        descriptions(client, &names).await
    })?;
    if flags.broker.json {
        outln!("{}", serde_json::to_string_pretty(&all.iter().map(document).collect::<Vec<_>>())?);
    } else if all.is_empty() {
        outln!(
            "no subscriptions, so clients push nothing; create one with `barnabas subscription alter NAME --metrics '*'`"
        );
    } else {
        out!("{}", table(&["name", "metrics", "interval", "match", "source"], all.iter().map(row)));
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints one subscription key by key.
pub(crate) fn describe(flags: &SubscriptionDescribeArgs) -> Result<ExitCode> {
    let name = flags.subscription.name();
    let (known, found) = flags.broker.run_with_client(async |client| {
        let known = list_names(client).await?.contains(&name);
        Ok((known, descriptions(client, std::slice::from_ref(&name)).await?))
    })?;
    let Some(found) = found.first().filter(|_| known) else {
        bail!("there is no subscription `{name}`; see `barnabas subscription list`");
    };
    if flags.broker.json {
        outln!("{}", serde_json::to_string_pretty(&document(found))?);
        return Ok(ExitCode::SUCCESS);
    }
    outln!("{}", escape(&found.name));
    let rows = found.entries.iter().map(|entry| {
        let documentation = entry.documentation.as_deref().unwrap_or("-");
        vec![entry.key.clone(), format_value(entry), source_name(entry.source).into(), escape(documentation)]
    });
    out!("{}", table(&["key", "value", "source", "description"], rows));
    Ok(ExitCode::SUCCESS)
}

/// The names of all subscriptions, sorted.
pub(super) async fn list_names(client: &mut KafkaClient) -> Result<Vec<String>> {
    match client.list_subscriptions().await? {
        Ok(mut names) => {
            names.sort();
            Ok(names)
        }
        Err(code) => bail!("{} refused to list its subscriptions: {code}", client.address()),
    }
}

async fn descriptions(client: &mut KafkaClient, names: &[String]) -> Result<Vec<SubscriptionDescription>> {
    /// A broker limits the size of one response.
    const PER_REQUEST: usize = 200;
    let mut all = Vec::new();
    for names in names.chunks(PER_REQUEST) {
        for (described, answer) in client.describe_subscriptions(names).await? {
            require_success(&described.name, answer)?;
            all.push(described);
        }
    }
    Ok(all)
}

/// The source of a value (`config_source` of DescribeConfigs).
fn source_name(source: i8) -> &'static str {
    match source {
        4 => "file",
        5 => "default",
        7 => "altered",
        _ => "broker",
    }
}

fn entry<'a>(described: &'a SubscriptionDescription, key: &str) -> Option<&'a SubscriptionSetting> {
    described.entries.iter().find(|entry| entry.key == key)
}

fn format_value(entry: &SubscriptionSetting) -> String {
    entry.value.as_deref().filter(|value| !value.is_empty()).map_or_else(|| "-".into(), escape)
}

fn row(described: &SubscriptionDescription) -> Vec<String> {
    let cell = |key| entry(described, key).map_or_else(|| "-".into(), format_value);
    let mut sources: Vec<&str> = described.entries.iter().map(|entry| source_name(entry.source)).collect();
    sources.retain(|source| *source != "default");
    sources.sort_unstable();
    sources.dedup();
    let interval = format!("{} ms", cell("interval.ms"));
    vec![escape(&described.name), cell("metrics"), interval, cell("match"), sources.join(", ")]
}

fn document(described: &SubscriptionDescription) -> Value {
    let entries = described.entries.iter().map(|entry| {
        let value =
            json!({ "value": entry.value, "from": source_name(entry.source), "documentation": entry.documentation });
        (entry.key.clone(), value)
    });
    json!({ "name": described.name, "entries": entries.collect::<Map<_, _>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> SubscriptionDescription {
        let entry = |key: &str, value: &str, source| SubscriptionSetting {
            key: key.into(),
            value: Some(value.into()),
            source,
            documentation: None,
        };
        SubscriptionDescription {
            name: "basic".into(),
            entries: vec![
                entry("interval.ms", "60000", 7),
                entry("match", "", 5),
                entry("metrics", "org.apache.kafka.producer.", 4),
            ],
        }
    }

    #[test]
    fn a_row_has_the_values_and_their_sources() {
        assert_eq!(row(&described()), ["basic", "org.apache.kafka.producer.", "60000 ms", "-", "altered, file"]);
    }

    #[test]
    fn a_document_has_every_key() {
        let document = document(&described());
        assert_eq!(document.pointer("/entries/interval.ms/from").unwrap(), "altered");
        assert_eq!(document.pointer("/entries/match/value").unwrap(), "");
    }
}
