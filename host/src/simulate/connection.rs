//! One connection and the clients that speak over it, one after the other: most often one.
//!
//! In: what the clients' models plan. Out: requests, and answers for the models and the [`Tally`](super::tally::Tally).
//! A connection that is lost is made again, at first soon and then ever later, as clients do. Ends when the run does, or
//! never.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{SimulatedClient, software};
use super::model::{ClientKind, TelemetryRequest};
use super::{RunContext, rogue};
use crate::kafka::client::{KafkaClient, KafkaClientOptions, TelemetryPush};

/// Before the first attempt to connect again, and the longest before any (Java: `reconnect.backoff.max.ms`).
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// When there is nothing to do, how long until it is looked again.
const IDLE: Duration = Duration::from_secs(3600);

/// The run is over: resolves when clients are to leave.
pub(super) async fn run_over(leaving: &mut watch::Receiver<bool>) {
    // The sender lives for as long as the run does; without it there is nothing to play for either.
    let _ = leaving.wait_for(|leaving| *leaving).await;
}

/// A connection to be.
pub(super) struct SimulatedConnection {
    shared: Arc<RunContext>,
    number: usize,
    kind: ClientKind,
    clients: Vec<SimulatedClient>,
    /// When whose model plans something, soonest first.
    schedule: BinaryHeap<Reverse<(Duration, usize)>>,
    /// What models count time from.
    began: Instant,
    connected: bool,
    /// That telemetry was not offered was counted, and what clients had come to in the end.
    unoffered_counted: bool,
    outcomes_recorded: bool,
    /// Bytes of this connection that were counted.
    counted: u64,
}

impl SimulatedConnection {
    pub(super) fn new(shared: Arc<RunContext>, number: usize) -> Self {
        let kind = shared.options.kind_of(number);
        let (players, agenda) = (Vec::new(), BinaryHeap::new());
        let (connected, unoffered, judged) = (false, false, false);
        let began = Instant::now();
        Self {
            shared,
            number,
            kind,
            clients: players,
            schedule: agenda,
            began,
            connected,
            unoffered_counted: unoffered,
            outcomes_recorded: judged,
            counted: 0,
        }
    }

    /// Until the run is over and the clients have left.
    pub(super) async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let options = &self.shared.options;
        tokio::select! {
            () = run_over(&mut leaving) => return,
            () = sleep(options.delay_of(self.number)) => {}
        }
        if let Some(ordinal) = options.rogue(self.number) {
            return rogue::run(self.shared, self.number, ordinal, leaving).await;
        }
        let clients = options.clients_of(self.number);
        self.clients = clients.map(|number| SimulatedClient::new(self.kind, number, options.seed)).collect();
        self.began = Instant::now();
        self.shared.tally.begun(self.kind, self.clients.len());
        self.play(&mut leaving).await;
    }

    async fn play(&mut self, leaving: &mut watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        while !*leaving.borrow() {
            match self.connect(leaving).await {
                Err(error) => self.shared.tally.not_connected(&error),
                Ok(client) => {
                    pause = FIRST_PAUSE;
                    self.drive(client, leaving).await;
                }
            }
            tokio::select! {
                () = run_over(leaving) => {}
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
        self.record_outcomes();
        if !self.connected {
            self.shared.tally.never_connected(self.clients.len());
        }
    }

    /// Whoever has no connection when the run is over loses patience in the end.
    async fn connect(&self, leaving: &mut watch::Receiver<bool>) -> Result<KafkaClient> {
        let (patience, client_id) = (self.shared.options.request_timeout, self.client_id());
        tokio::select! {
            made = connect(&self.shared, self.number, &client_id) => made,
            () = async { run_over(leaving).await; sleep(patience).await } => {
                bail!("{client_id} had no connection {patience:?} after the run was over")
            }
        }
    }

    /// What clients have come to, before anybody says last words.
    fn record_outcomes(&mut self) {
        if !std::mem::replace(&mut self.outcomes_recorded, true) {
            let now = self.now();
            self.clients.iter().for_each(|player| self.shared.tally.run_ended(player.unmet(now)));
        }
    }

    fn client_id(&self) -> String {
        self.clients.first().map(SimulatedClient::client_id).unwrap_or_default()
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    async fn drive(&mut self, mut client: KafkaClient, leaving: &mut watch::Receiver<bool>) {
        self.on_connected(&client);
        let end = loop {
            let next = self.schedule.peek().map_or(self.now() + IDLE, |Reverse((due, _))| *due);
            tokio::select! {
                biased;
                () = run_over(leaving) => break self.leave(&mut client).await,
                lost = client.closed() => break Err(lost),
                () = sleep_until(self.began + next) => {}
            }
            let Some(Reverse((_, player))) = self.schedule.pop() else { continue };
            if let Err(error) = self.send_due(&mut client, player).await {
                break Err(error);
            }
        };
        self.count(&client);
        self.shared.tally.closed();
        if let Err(error) = end
            && !*leaving.borrow()
        {
            self.on_lost(&error);
        }
    }

    fn on_connected(&mut self, client: &KafkaClient) {
        let (now, offers) = (self.now(), client.offers_telemetry());
        self.shared.tally.opened();
        if !std::mem::replace(&mut self.connected, true) {
            self.shared.tally.connected(self.kind, self.clients.len());
        }
        if !offers && !std::mem::replace(&mut self.unoffered_counted, true) {
            self.shared.tally.not_offered(self.clients.len());
        }
        self.counted = 0;
        self.count(client);
        self.schedule.clear();
        for index in 0..self.clients.len() {
            if let Some(player) = self.clients.get_mut(index) {
                player.model.connected(now, offers);
            }
            self.plan(index);
        }
    }

    fn on_lost(&mut self, error: &anyhow::Error) {
        let now = self.now();
        self.shared.tally.lost(error);
        for index in 0..self.clients.len() {
            if let Some(player) = self.clients.get_mut(index) {
                player.model.disconnected(now);
            }
            self.note_silence(index);
        }
    }

    /// Puts what a client plans on the agenda.
    fn plan(&mut self, index: usize) {
        if let Some((due, _)) = self.clients.get(index).and_then(|player| player.model.next()) {
            self.schedule.push(Reverse((due, index)));
        }
        self.note_silence(index);
    }

    fn note_silence(&mut self, index: usize) {
        let Some(player) = self.clients.get_mut(index) else { return };
        if let Some(reason) = player.model.fell_silent()
            && !std::mem::replace(&mut player.counted, true)
        {
            self.shared.tally.silent(self.kind, reason);
        }
    }

    /// What this client plans, and what comes of it.
    async fn send_due(&mut self, client: &mut KafkaClient, index: usize) -> Result<()> {
        let now = self.now();
        let Some(player) = self.clients.get_mut(index) else { return Ok(()) };
        let Some((_, ask)) = player.model.next() else { return Ok(()) };
        if self.shared.options.clients > self.shared.options.connections {
            client.set_client_id(&player.client_id());
        }
        player.model.sent(now);
        send(&self.shared, self.kind, self.began, player, client, ask).await?;
        self.count(client);
        self.plan(index);
        Ok(())
    }

    /// Each client's last words, where it has some.
    async fn leave(&mut self, client: &mut KafkaClient) -> Result<()> {
        self.record_outcomes();
        sleep(self.shared.options.delay_of(self.number)).await;
        let now = self.now();
        for index in 0..self.clients.len() {
            let Some(player) = self.clients.get_mut(index).filter(|player| player.model.silent().is_none()) else {
                continue;
            };
            player.model.close(now);
            // It may find out only now what its node does not offer.
            self.note_silence(index);
            let Some(player) = self.clients.get_mut(index) else { continue };
            let Some((_, ask)) = player.model.next() else { continue };
            if self.shared.options.clients > self.shared.options.connections {
                client.set_client_id(&player.client_id());
            }
            player.model.sent(now);
            send(&self.shared, self.kind, self.began, player, client, ask).await?;
        }
        Ok(())
    }

    fn count(&mut self, client: &KafkaClient) {
        let sent = client.bytes_sent();
        self.shared.tally.sent(sent - self.counted);
        self.counted = sent;
    }
}

/// Sends one request and tells its answer to the model.
async fn send(
    shared: &RunContext,
    kind: ClientKind,
    began: Instant,
    player: &mut SimulatedClient,
    client: &mut KafkaClient,
    ask: TelemetryRequest,
) -> Result<()> {
    match ask {
        TelemetryRequest::Get { instance } => {
            let asked = Instant::now();
            let answer = client.get_subscription(instance).await.inspect_err(|why| shared.tally.unanswered(why))?;
            let answer = answer.map_err(|error| error.0);
            shared.tally.got(asked.elapsed(), answer.as_ref().err().copied());
            player.answered_get(began.elapsed(), answer);
        }
        TelemetryRequest::Push { instance, subscription_id, terminating } => {
            let (codec, metrics) = player.payload(&shared.options, &shared.payloads)?;
            let push = TelemetryPush {
                instance_id: instance,
                subscription_id,
                terminating,
                codec: codec.id(),
                metrics: &metrics,
            };
            let asked = Instant::now();
            let answer = client.push(&push).await.inspect_err(|why| shared.tally.unanswered(why))?;
            let answer = answer.map_err(|error| error.0);
            shared.tally.pushed(asked.elapsed(), answer.err(), terminating);
            if answer.is_ok() {
                if player.pushes == 0 {
                    shared.tally.first_push(kind);
                }
                player.pushes = player.pushes.saturating_add(1);
            }
            player.model.answered_push(began.elapsed(), answer);
        }
    }
    Ok(())
}

/// Connects as this kind does: ApiVersions, then Metadata. The brokers that it names are not followed: all is sent to
/// the address that was given.
pub(super) async fn connect(shared: &RunContext, number: usize, client_id: &str) -> Result<KafkaClient> {
    let options = &shared.options;
    let options = KafkaClientOptions {
        client_id: client_id.to_owned(),
        software: software(options.kind_of(number)),
        timeout: options.request_timeout,
        source: options.sources.for_connection(number),
        security: options.security.clone(),
    };
    let mut client = KafkaClient::connect(&shared.options.bootstrap, &options).await?;
    client.metadata().await?;
    Ok(client)
}
