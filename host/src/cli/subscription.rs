//! `barnabas subscription`: which clients push what and how often, on any broker that keeps client metrics
//! subscriptions. It speaks Kafka's own admin protocol (KIP-714), as Kafka's commands do.

mod alter;
mod broker;
mod delete;
mod list;
mod selector;
mod watch;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// What can be asked about subscriptions.
#[derive(Subcommand)]
pub(crate) enum SubscriptionCommand {
    /// All subscriptions, with what they ask of whom.
    List(list::SubscriptionListArgs),
    /// One subscription, key by key, with where each value comes from.
    Describe(list::SubscriptionDescribeArgs),
    /// Make a subscription or change it; effective at once. Says how many connected clients learn of it, and by when.
    #[command(visible_alias = "add")]
    Alter(alter::SubscriptionAlterArgs),
    /// Take back what was altered. What a broker's own file says stays.
    Delete(delete::SubscriptionDeleteArgs),
}

/// Runs one of them.
pub(crate) fn run(subscription: &SubscriptionCommand) -> Result<ExitCode> {
    match subscription {
        SubscriptionCommand::List(flags) => list::run(flags),
        SubscriptionCommand::Describe(flags) => list::describe(flags),
        SubscriptionCommand::Alter(flags) => alter::run(flags),
        SubscriptionCommand::Delete(flags) => delete::run(flags),
    }
}
