//! `barnabas subscription delete`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barnabas_kafka_client::{SettingChange, SettingOp};
use clap::Args;

use super::alter::{KEYS, print_outcome};
use super::broker::{BrokerArgs, SubscriptionNameArgs, require_success};
use super::list::list_names;

/// Flags of `subscription delete`.
#[derive(Args)]
pub(crate) struct SubscriptionDeleteArgs {
    #[command(flatten)]
    subscription: SubscriptionNameArgs,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// Deletes every key, which is how Kafka deletes a subscription.
pub(crate) fn run(flags: &SubscriptionDeleteArgs) -> Result<ExitCode> {
    let name = flags.subscription.name();
    let (message, left) = flags.broker.run_with_client(async |client| {
        if !list_names(client).await?.contains(&name) {
            bail!("there is no subscription `{name}`; see `barnabas subscription list`");
        }
        let changes = KEYS.map(|key| SettingChange { key: key.into(), op: SettingOp::Delete, value: None });
        let message = require_success(&name, client.alter_subscription(&name, &changes, false).await?)?;
        Ok((message, list_names(client).await?.contains(&name)))
    })?;
    let done = if left { "overrides deleted; the broker's configuration file still defines it" } else { "deleted" };
    print_outcome(flags.broker.json, &name, done, message.as_deref())?;
    Ok(ExitCode::SUCCESS)
}
