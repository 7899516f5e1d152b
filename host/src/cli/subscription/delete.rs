//! `barnabas subscription delete`.

use std::process::ExitCode;

use anyhow::{Result, bail};
use barnabas::kafka::client::{SettingChange, SettingOp};
use clap::Args;

use super::alter::{KEYS, say};
use super::broker::{BrokerFlags, NameFlags, accepted};
use super::list::list;

/// Flags of `subscription delete`.
#[derive(Args)]
pub(crate) struct Flags {
    #[command(flatten)]
    subscription: NameFlags,
    #[command(flatten)]
    broker: BrokerFlags,
}

/// Deletes every key, which is how Kafka deletes a subscription.
pub(crate) fn run(flags: &Flags) -> Result<ExitCode> {
    let name = flags.subscription.name();
    let (message, left) = flags.broker.with(async |client| {
        if !list(client).await?.contains(&name) {
            bail!("there is no subscription `{name}`; `barnabas subscription list` shows those that there are");
        }
        let changes = KEYS.map(|key| SettingChange { key: key.into(), op: SettingOp::Delete, value: None });
        let message = accepted(&name, client.alter_subscription(&name, &changes, false).await?)?;
        Ok((message, list(client).await?.contains(&name)))
    })?;
    let done = if left { "what was altered is taken back; the broker's own file still has it" } else { "deleted" };
    say(flags.broker.json, &name, done, message.as_deref())?;
    Ok(ExitCode::SUCCESS)
}
