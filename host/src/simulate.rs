//! Clients that are not there: what real clients do, for trying a host against a fleet of them.
//!
//! In: a broker's address and how many clients of which kinds. Out: a [`Report`]. Each client is a [`model::Model`]
//! whose payloads are recorded ones of a real client, filtered to what it was asked for, with fresh times and with sums
//! that grow. Bounded by the run's length, by one task for each connection and [`BYTES_PER_CLIENT`] for each client
//! beside its connection; payloads live only while they are sent. Never judges a broker by anything but its answers.

pub mod model;

mod client;
mod clock;
mod codec;
mod connection;
mod counters;
mod histogram;
mod limits;
mod options;
mod payload;
mod report;
mod rng;
mod rogue;
mod sources;
mod template;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout_at};

use crate::kafka::client::{KafkaClient, KafkaClientOptions as ClientOptions};
use connection::SimulatedConnection;
use counters::RunCounters;
use payload::Payloads;

pub use client::BYTES_PER_CLIENT;
pub use counters::FleetProgress;
pub use limits::raise_open_files;
pub use options::SimulationOptions;
pub use report::{KindReport, Latency, SimulationReport};
pub use rogue::Misbehaviour;
pub use sources::SourceAddresses;

/// How long clients may take to leave beyond the ramp over which they do and their patience with what they asked last.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What all connections of a run share.
struct RunContext {
    options: SimulationOptions,
    payloads: Payloads,
    tally: RunCounters,
}

/// Plays the clients until the run's time is over or `stop` ends; then they leave as they came, over the ramp, those that
/// do so with a terminating push. `progress` hears once a second how it goes.
///
/// # Errors
///
/// One sentence where the options make no sense, the system allows too few files or ports, or no broker answers.
pub async fn run(
    options: SimulationOptions,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(&FleetProgress),
) -> Result<SimulationReport> {
    options.check()?;
    limits::check(&options)?;
    let probe = ClientOptions { security: options.security.clone(), ..ClientOptions::default() };
    let first = KafkaClient::connect(&options.bootstrap, &probe).await;
    drop(first.context("nobody to push to")?);
    let began = Instant::now();
    let shared = Arc::new(RunContext { payloads: Payloads::recorded()?, tally: RunCounters::new(&options), options });
    let (leave, leaving) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for number in 0..shared.options.connections {
        tasks.spawn(SimulatedConnection::new(shared.clone(), number).run(leaving.clone()));
    }
    let mut seconds = interval(Duration::from_secs(1));
    let over = began + shared.options.time;
    {
        let stop = std::pin::pin!(stop);
        let mut tell = || progress(&shared.tally.progress(began.elapsed()));
        let all = join_all(&mut tasks, &shared.tally);
        tokio::select! {
            () = stop => {}
            () = tokio::time::sleep_until(over) => {}
            // None ends by itself; should all have, there is nothing to wait for.
            () = all => {}
            () = async { loop { seconds.tick().await; tell() } } => {}
        }
    }
    let played = began.elapsed();
    leave.send_replace(true);
    let deadline = Instant::now() + shared.options.ramp + shared.options.request_timeout + LEAVE_TIMEOUT;
    let late = timeout_at(deadline, join_all(&mut tasks, &shared.tally)).await.is_err();
    let unfinished = if late { tasks.len() } else { 0 };
    tasks.abort_all();
    join_all(&mut tasks, &shared.tally).await;
    progress(&shared.tally.progress(began.elapsed()));
    Ok(SimulationReport::new(&shared.options, &shared.tally, played, unfinished))
}

/// Until all connections have ended. One that panicked is no end that anybody meant.
async fn join_all(tasks: &mut JoinSet<()>, tally: &RunCounters) {
    while let Some(end) = tasks.join_next().await {
        if end.is_err_and(|error| error.is_panic()) {
            tally.panicked();
        }
    }
}

#[cfg(test)]
mod tests;
