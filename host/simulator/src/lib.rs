//! Simulates a fleet of clients against any broker.
//!
//! In: the address of a broker, and the number and kinds of clients. Out: a [`SimulationReport`]. Each client is a
//! [`model::Model`] with recorded payloads of a real client, filtered by its subscription, with current timestamps and
//! growing sums. Bounded: a run has a fixed duration, one task per connection, and [`BYTES_PER_CLIENT`] per client in
//! addition to its connection; a payload exists only while it is sent. Never assesses a broker by anything but its
//! responses.

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

use barnabas_kafka_client::{KafkaClient, KafkaClientOptions as ClientOptions};
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

/// Time for clients to stop, in addition to the ramp and the timeout of their last request.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Shared by all connections of a run.
struct RunContext {
    options: SimulationOptions,
    payloads: Payloads,
    tally: RunCounters,
}

/// Runs the clients until the configured time has passed or `stop` resolves. Then they stop over the duration of the ramp,
/// those whose kind does so with a terminating push. Calls `progress` once a second.
///
/// # Errors
///
/// One sentence if the options are invalid, the system allows too few open files or ports, or no broker responds.
pub async fn run(
    options: SimulationOptions,
    stop: impl Future<Output = ()>,
    mut progress: impl FnMut(&FleetProgress),
) -> Result<SimulationReport> {
    options.check()?;
    limits::check(&options)?;
    let probe = ClientOptions { security: options.security.clone(), ..ClientOptions::default() };
    let first = KafkaClient::connect(&options.bootstrap, &probe).await;
    drop(first.context("cannot reach a broker")?);
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
            // No connection ends by itself before the run is over. If all have ended (panicked), there is nothing to wait for.
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

/// Waits until all connections have ended, and counts panics.
async fn join_all(tasks: &mut JoinSet<()>, tally: &RunCounters) {
    while let Some(end) = tasks.join_next().await {
        if end.is_err_and(|error| error.is_panic()) {
            tally.panicked();
        }
    }
}

#[cfg(test)]
mod tests;
