//! The options of a run, and their validation.

use std::time::Duration;

use anyhow::{Result, bail};

use super::model::ClientKind;
use super::sources::SourceAddresses;
use barnabas_base::Codec;
use barnabas_kafka_client::ClientSecurity;
use barnabas_pipeline::admission::Quotas;

/// Maximum number of clients; more than one machine can simulate.
const MAX_CLIENTS: usize = 10_000_000;

/// Options of a run of the simulator.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationOptions {
    /// `host:port`; several, separated by commas, are tried in turn.
    pub bootstrap: String,
    /// Number of client instances.
    pub clients: usize,
    /// Number of connections, shared evenly by the clients. Real clients have a connection each.
    pub connections: usize,
    /// Kinds of clients, assigned to connections round-robin.
    pub kinds: Vec<ClientKind>,
    /// Codecs that clients support. They use the first one that the broker accepts, else none.
    pub codecs: Vec<Codec>,
    /// How long clients push.
    pub time: Duration,
    /// Duration over which the starts of the clients, and later their stops, are spread.
    pub ramp: Duration,
    /// Timeout for connecting and for each response (Java: `request.timeout.ms`).
    pub request_timeout: Duration,
    /// TLS and credentials, the same for all clients.
    pub security: ClientSecurity,
    /// Source addresses of connections.
    pub sources: SourceAddresses,
    /// Share of connections that misbehave on purpose, 0 to 1. Above 0, at least one does.
    pub misbehave: f64,
    /// Seed of the jitter and the misbehaviour.
    pub seed: u64,
}

impl SimulationOptions {
    /// This number of clients with a connection each, of all kinds, with all codecs, for ten seconds.
    pub fn new(bootstrap: impl Into<String>, clients: usize) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            clients,
            connections: clients,
            kinds: ClientKind::ALL.to_vec(),
            codecs: Codec::OFFERED.to_vec(),
            time: Duration::from_secs(10),
            ramp: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            security: ClientSecurity::default(),
            sources: SourceAddresses::default(),
            misbehave: 0.0,
            seed: 0,
        }
    }

    /// If a connection of this run has more new client instances than a Barnabas host accepts per minute by default:
    /// that default.
    pub fn exceeds_default_quota(&self) -> Option<u32> {
        let most = Quotas::default().connection.new_clients;
        let shared = self.clients.checked_div(self.connections).unwrap_or_default();
        let fullest = shared + usize::from(shared * self.connections < self.clients);
        (fullest > most as usize).then_some(most)
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MAX_CLIENTS).contains(&self.clients) {
            bail!("`--clients {}` is out of range; use 1 to {MAX_CLIENTS}", self.clients);
        }
        if !(1..=self.clients).contains(&self.connections) {
            let (connections, clients) = (self.connections, self.clients);
            bail!("`--connections {connections}` is out of range; use 1 to {clients}, the number of clients");
        }
        if self.kinds.is_empty() {
            bail!("`--kinds` is empty; name at least one kind of client");
        }
        if self.time.is_zero() {
            bail!("`--seconds` is 0; use at least 1");
        }
        if !(0.0..=1.0).contains(&self.misbehave) {
            bail!("`--misbehave {}` is out of range; use a number from 0 to 1", self.misbehave);
        }
        Ok(())
    }

    /// Number of misbehaving connections.
    pub(super) fn rogues(&self) -> usize {
        #[allow(clippy::cast_precision_loss, reason = "at most ten million")]
        let share = self.connections as f64 * self.misbehave;
        (share.ceil() as usize).min(self.connections)
    }

    /// If this connection misbehaves: its index among the misbehaving ones, which are spread evenly.
    pub(super) fn rogue(&self, number: usize) -> Option<usize> {
        let before = number * self.rogues() / self.connections;
        let with = (number + 1) * self.rogues() / self.connections;
        (with > before).then_some(before)
    }

    /// The numbers of the clients of a connection.
    pub(super) fn clients_of(&self, connection: usize) -> impl Iterator<Item = usize> + use<> {
        (connection..self.clients).step_by(self.connections)
    }

    /// The kind of the clients of a connection.
    pub(super) fn kind_of(&self, connection: usize) -> ClientKind {
        let kind = connection.checked_rem(self.kinds.len()).and_then(|index| self.kinds.get(index));
        kind.copied().expect("`check` refuses a run without kinds")
    }

    /// Delay of a connection after the beginning of the run, and of its stop after the end.
    pub(super) fn delay_of(&self, connection: usize) -> Duration {
        #[allow(clippy::cast_precision_loss, reason = "ten million are exact")]
        let share = connection as f64 / self.connections as f64;
        self.ramp.mul_f64(share)
    }
}
