//! What a run is like, and which of it makes no sense.

use std::time::Duration;

use anyhow::{Result, bail};

use super::model::ClientKind;
use super::sources::SourceAddresses;
use crate::admission::Quotas;
use crate::kafka::client::ClientSecurity;
use crate::push::Codec;

/// More clients than any one machine plays.
const MAX_CLIENTS: usize = 10_000_000;

/// A run of the simulator.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationOptions {
    /// `host:port`; several, separated by commas, are tried in turn.
    pub bootstrap: String,
    /// Client instances.
    pub clients: usize,
    /// Connections that they share out evenly; as many as clients is as real clients have it.
    pub connections: usize,
    /// Kinds, dealt out to connections in turn.
    pub kinds: Vec<ClientKind>,
    /// Codecs that clients have built in; of them the one that the broker names first is used, else none.
    pub codecs: Vec<Codec>,
    /// How long clients push.
    pub time: Duration,
    /// Over how long their starts are spread, and then their leaving.
    pub ramp: Duration,
    /// How long clients wait for a connection and for each answer (Java: `request.timeout.ms`).
    pub request_timeout: Duration,
    /// TLS and who logs in, the same for all.
    pub security: ClientSecurity,
    /// Where connections come from.
    pub sources: SourceAddresses,
    /// Share of connections that misbehave on purpose, 0 to 1. Above 0, at least one does.
    pub misbehave: f64,
    /// The same seed gives the same jitter and the same mischief.
    pub seed: u64,
}

impl SimulationOptions {
    /// So many clients with a connection each, of all kinds, with all codecs, for ten seconds.
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

    /// How many new client instances a Barnabas host lets in by one connection in a minute by its defaults, where some
    /// connection of this run brings more.
    pub fn exceeds_default_quota(&self) -> Option<u32> {
        let most = Quotas::default().connection.new_clients;
        let shared = self.clients.checked_div(self.connections).unwrap_or_default();
        let fullest = shared + usize::from(shared * self.connections < self.clients);
        (fullest > most as usize).then_some(most)
    }

    pub(super) fn check(&self) -> Result<()> {
        if !(1..=MAX_CLIENTS).contains(&self.clients) {
            bail!("`--clients {}` cannot be played; ask for 1 to {MAX_CLIENTS}", self.clients);
        }
        if !(1..=self.clients).contains(&self.connections) {
            let (connections, clients) = (self.connections, self.clients);
            bail!("`--connections {connections}` does not fit {clients} clients; ask for 1 to {clients}");
        }
        if self.kinds.is_empty() {
            bail!("`--kinds` names no kind of client; name at least one");
        }
        if self.time.is_zero() {
            bail!("`--seconds 0` leaves no time for anything; ask for at least 1");
        }
        if !(0.0..=1.0).contains(&self.misbehave) {
            bail!("`--misbehave {}` is no share; write a number from 0 to 1", self.misbehave);
        }
        Ok(())
    }

    /// How many connections misbehave.
    pub(super) fn rogues(&self) -> usize {
        #[allow(clippy::cast_precision_loss, reason = "a share of at most ten million")]
        let share = self.connections as f64 * self.misbehave;
        (share.ceil() as usize).min(self.connections)
    }

    /// Whether the connection of this number misbehaves, and which of those that do it is. They are spread evenly.
    pub(super) fn rogue(&self, number: usize) -> Option<usize> {
        let before = number * self.rogues() / self.connections;
        let with = (number + 1) * self.rogues() / self.connections;
        (with > before).then_some(before)
    }

    /// The numbers of the clients of a connection.
    pub(super) fn clients_of(&self, connection: usize) -> impl Iterator<Item = usize> + use<> {
        (connection..self.clients).step_by(self.connections)
    }

    /// What the clients of a connection are.
    pub(super) fn kind_of(&self, connection: usize) -> ClientKind {
        let kind = connection.checked_rem(self.kinds.len()).and_then(|index| self.kinds.get(index));
        kind.copied().expect("a run without kinds was refused")
    }

    /// How long after the beginning a connection starts, and after the end it leaves.
    pub(super) fn delay_of(&self, connection: usize) -> Duration {
        #[allow(clippy::cast_precision_loss, reason = "ten million are exact")]
        let share = connection as f64 / self.connections as f64;
        self.ramp.mul_f64(share)
    }
}
