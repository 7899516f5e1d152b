//! `barnabas subscription`: manages the client metrics subscriptions of any broker. It uses Kafka's admin protocol
//! (KIP-714), like Kafka's commands.

mod alter;
mod broker;
mod delete;
mod list;
mod selector;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Commands for subscriptions.
#[derive(Subcommand)]
pub(crate) enum SubscriptionCommand {
    /// List all subscriptions.
    List(list::SubscriptionListArgs),
    /// Describe a subscription key by key, with the source of each value.
    Describe(list::SubscriptionDescribeArgs),
    /// Create or change a subscription, effective immediately. Prints how many connected clients it affects, and when.
    #[command(visible_alias = "add")]
    Alter(alter::SubscriptionAlterArgs),
    /// Delete the overrides of a subscription. Values from the broker's configuration file remain.
    Delete(delete::SubscriptionDeleteArgs),
}

/// Runs a command.
pub(crate) fn run(subscription: &SubscriptionCommand) -> Result<ExitCode> {
    match subscription {
        SubscriptionCommand::List(flags) => list::run(flags),
        SubscriptionCommand::Describe(flags) => list::describe(flags),
        SubscriptionCommand::Alter(flags) => alter::run(flags),
        SubscriptionCommand::Delete(flags) => delete::run(flags),
    }
}
