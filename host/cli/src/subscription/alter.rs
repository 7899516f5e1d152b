//! `barnabas subscription alter`.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use barnabas_base::InstanceId;
use barnabas_base::units::HumanDuration;
use barnabas_kafka_client::{SettingChange, SettingOp};
use clap::Args;
use serde_json::json;

use super::super::format::escape;
use super::super::host::AdminArgs;
use super::broker::{BrokerArgs, require_success};
use super::{selector, watch};

/// The configuration keys of a subscription in Kafka.
pub(super) const KEYS: [&str; 3] = ["metrics", "interval.ms", "match"];

/// Flags of `subscription alter`.
#[derive(Args)]
#[command(after_help = "\
An empty value (--interval '') resets a key to the broker's configuration file or the default.
The syntax of KIP-714's early draft is accepted as well: `--id rdkafka --metric org.apache.kafka. --interval-ms 60000`.")]
pub(crate) struct SubscriptionAlterArgs {
    /// Name of the subscription. It is created if it does not exist.
    #[arg(long = "name", value_name = "NAME", conflicts_with = "name")]
    named: Option<String>,
    /// Name of the subscription. It is created if it does not exist.
    name: Option<String>,
    /// Create a subscription with a generated name.
    #[arg(long, conflicts_with_all = ["name", "named"])]
    generate_name: bool,
    /// Prefixes of metric names, separated by commas. `*` selects all metrics.
    #[arg(long, value_name = "PREFIXES", visible_alias = "metric")]
    metrics: Option<String>,
    /// Add these prefixes to the current ones.
    #[arg(long, value_name = "PREFIXES", conflicts_with = "metrics")]
    add_metrics: Option<String>,
    /// Remove these prefixes from the current ones.
    #[arg(long, value_name = "PREFIXES", conflicts_with_all = ["metrics", "add_metrics"])]
    remove_metrics: Option<String>,
    /// Push interval: `30s`, `5m`, or a number of milliseconds as in Kafka's command.
    #[arg(long, value_name = "TIME", visible_alias = "interval-ms")]
    interval: Option<String>,
    /// Client selectors: key=pattern, separated by commas, all of which must match completely. Keys:
    /// client_instance_id, client_id, client_software_name, client_software_version, client_source_address,
    /// client_source_port.
    #[arg(long = "match", value_name = "SELECTORS", conflicts_with = "id")]
    matches: Option<String>,
    /// Client selector of the early draft: a client instance id (base64url, base64, hex or UUID), or a prefix of the
    /// software name.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only validate the change, and print how many clients it would affect.
    #[arg(long)]
    validate_only: bool,
    /// Then list matching clients as they connect, until Ctrl-C. Requires the admin endpoint of a Barnabas host.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Alters the subscription, prints the outcome, and watches the clients if requested.
pub(crate) fn run(flags: &SubscriptionAlterArgs) -> Result<ExitCode> {
    let name = flags.name()?;
    let changes = flags.changes()?;
    let selector = changes.iter().find(|change| change.key == "match").and_then(|change| change.value.as_deref());
    if let Some(spelled) = selector.and_then(selector::spellings) {
        errln!("{spelled}");
    }
    let message = flags.broker.run_with_client(async |client| {
        require_success(&name, client.alter_subscription(&name, &changes, flags.validate_only).await?)
    })?;
    let done = if flags.validate_only { "valid; nothing was changed" } else { "altered" };
    print_outcome(flags.broker.json, &name, done, message.as_deref())?;
    if flags.watch {
        return watch::run(&flags.admin.client(&flags.broker.config)?, &name);
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the outcome, and the message of the broker if it sent one.
pub(super) fn print_outcome(json: bool, name: &str, done: &str, message: Option<&str>) -> Result<()> {
    if json {
        outln!("{}", serde_json::to_string(&json!({ "name": name, "outcome": done, "message": message }))?);
        return Ok(());
    }
    outln!("{}: {done}", escape(name));
    match message {
        Some(message) => outln!("{}", escape(message)),
        // Apache's broker sends no message on success.
        None => {
            outln!(
                "the broker does not report the affected clients; they get the new subscription at their next request"
            )
        }
    }
    Ok(())
}

impl SubscriptionAlterArgs {
    fn name(&self) -> Result<String> {
        if self.generate_name {
            return Ok(generated());
        }
        let name = self.named.as_ref().or(self.name.as_ref());
        name.cloned().context("the name of the subscription is missing; pass it, or use --generate-name")
    }

    fn changes(&self) -> Result<Vec<SettingChange>> {
        let interval = self.interval.as_deref().map(milliseconds).transpose()?;
        let id = self.id.as_deref().map(selector::from_id).transpose()?;
        let set = [
            ("metrics", &self.metrics),
            ("interval.ms", &interval),
            ("match", self.matches.as_ref().map_or(&id, |_| &self.matches)),
        ];
        let mut changes: Vec<SettingChange> =
            set.into_iter().filter_map(|(key, value)| Some(replace(key, value.as_deref()?))).collect();
        for (op, value) in [(SettingOp::Append, &self.add_metrics), (SettingOp::Subtract, &self.remove_metrics)] {
            changes.extend(value.iter().map(|value| SettingChange {
                key: "metrics".into(),
                op,
                value: Some(value.clone()),
            }));
        }
        ensure!(!changes.is_empty(), "no change requested; use --metrics, --interval or --match");
        Ok(changes)
    }
}

/// Like Kafka's command: an empty value deletes the key.
fn replace(key: &str, value: &str) -> SettingChange {
    let value = (!value.is_empty()).then(|| value.to_owned());
    SettingChange { key: key.into(), op: if value.is_some() { SettingOp::Set } else { SettingOp::Delete }, value }
}

/// The interval in milliseconds, as text. An empty text stays empty.
fn milliseconds(text: &str) -> Result<String> {
    if text.is_empty() || text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    match text.parse::<HumanDuration>() {
        Ok(HumanDuration(interval)) => Ok(interval.as_millis().to_string()),
        Err(why) => bail!("--interval: {why}"),
    }
}

/// A random name, like Kafka's command generates.
fn generated() -> String {
    loop {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
        if let Some(id) = InstanceId::from_random(bytes) {
            return id.to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct AlterCli {
        #[command(flatten)]
        flags: SubscriptionAlterArgs,
    }

    fn parsed(words: &str) -> Result<(String, Vec<SettingChange>)> {
        let flags = AlterCli::try_parse_from(std::iter::once("alter").chain(words.split(' ')))?.flags;
        Ok((flags.name()?, flags.changes()?))
    }

    fn change(key: &str, op: SettingOp, value: Option<&str>) -> SettingChange {
        SettingChange { key: key.into(), op, value: value.map(str::to_owned) }
    }

    #[test]
    fn the_flags_of_kafkas_command_are_accepted() {
        let words = "--name basic --metrics a.,b. --interval 60000 --match client_id=x,client_software_name=y";
        let expected = vec![
            change("metrics", SettingOp::Set, Some("a.,b.")),
            change("interval.ms", SettingOp::Set, Some("60000")),
            change("match", SettingOp::Set, Some("client_id=x,client_software_name=y")),
        ];
        assert_eq!(parsed(words).unwrap(), ("basic".into(), expected));
        let (_, reset) = parsed("basic --interval=").unwrap();
        assert_eq!(reset, [change("interval.ms", SettingOp::Delete, None)]);
    }

    #[test]
    fn the_flags_of_the_draft_are_translated() {
        let (_, changes) = parsed("basic --id rdkafka --metric org.apache.kafka. --interval-ms 15000").unwrap();
        assert_eq!(
            changes,
            [
                change("metrics", SettingOp::Set, Some("org.apache.kafka.")),
                change("interval.ms", SettingOp::Set, Some("15000")),
                change("match", SettingOp::Set, Some("client_software_name=(lib)?rdkafka.*")),
            ]
        );
    }

    #[test]
    fn intervals_have_units() {
        let (_, changes) = parsed("basic --interval 2m").unwrap();
        assert_eq!(changes, [change("interval.ms", SettingOp::Set, Some("120000"))]);
        assert!(parsed("basic --interval soon").unwrap_err().to_string().contains("--interval"));
    }

    #[test]
    fn prefixes_can_be_added_and_removed() {
        assert_eq!(parsed("b --add-metrics x.").unwrap().1, [change("metrics", SettingOp::Append, Some("x."))]);
        assert_eq!(parsed("b --remove-metrics x.").unwrap().1, [change("metrics", SettingOp::Subtract, Some("x."))]);
    }

    #[test]
    fn a_command_without_a_change_or_a_name_is_refused() {
        assert!(parsed("basic").unwrap_err().to_string().contains("--metrics"));
        assert!(parsed("--metrics x").unwrap_err().to_string().contains("--generate-name"));
        let (name, _) = parsed("--generate-name --metrics x").unwrap();
        assert_eq!(name.len(), 22);
    }
}
