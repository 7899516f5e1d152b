//! One connection and its clients: usually one, else several that take turns.
//!
//! In: the requests that the clients' models plan. Out: these requests, sent to the broker, and their responses for the
//! models and the [`RunCounters`](super::counters::RunCounters). Bounded by the duration of the run. A lost connection is
//! reestablished with an exponential backoff, like real clients do. Never ends before the run does.

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
use barnabas_kafka_client::{KafkaClient, KafkaClientOptions, TelemetryPush};

/// Initial and maximum backoff before reconnecting (Java: `reconnect.backoff.max.ms`).
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long to sleep if no client plans a request.
const IDLE: Duration = Duration::from_secs(3600);

/// Resolves when the run is over and clients are to stop.
pub(super) async fn run_over(leaving: &mut watch::Receiver<bool>) {
    // An error means that the sender is dropped, so the run is over as well.
    let _ = leaving.wait_for(|leaving| *leaving).await;
}

/// A simulated connection, connected or not.
pub(super) struct SimulatedConnection {
    shared: Arc<RunContext>,
    number: usize,
    kind: ClientKind,
    clients: Vec<SimulatedClient>,
    /// Due times and indices of the clients that plan a request, earliest first.
    schedule: BinaryHeap<Reverse<(Duration, usize)>>,
    /// Start of the models' time.
    began: Instant,
    connected: bool,
    /// Whether missing telemetry support, and the final outcomes of the clients, have been counted already.
    unoffered_counted: bool,
    outcomes_recorded: bool,
    /// Bytes sent on this connection that have been counted already.
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

    /// Runs until the run is over and the clients have stopped.
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

    /// Connects. If the run is over, gives up after the request timeout.
    async fn connect(&self, leaving: &mut watch::Receiver<bool>) -> Result<KafkaClient> {
        let (patience, client_id) = (self.shared.options.request_timeout, self.client_id());
        tokio::select! {
            made = connect(&self.shared, self.number, &client_id) => made,
            () = async { run_over(leaving).await; sleep(patience).await } => {
                bail!("{client_id} could not connect within {patience:?} after the end of the run")
            }
        }
    }

    /// Counts the outcomes of the clients, before they send terminating pushes.
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

    /// Schedules the next request of a client.
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

    /// Sends the request that this client plans, and schedules its next one.
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

    /// Closes each client, and sends the terminating pushes.
    async fn leave(&mut self, client: &mut KafkaClient) -> Result<()> {
        self.record_outcomes();
        sleep(self.shared.options.delay_of(self.number)).await;
        let now = self.now();
        for index in 0..self.clients.len() {
            let Some(player) = self.clients.get_mut(index).filter(|player| player.model.silent().is_none()) else {
                continue;
            };
            player.model.close(now);
            // A client may notice only now that its node does not offer telemetry.
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

/// Sends one request and passes the response to the model.
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

/// Connects like this kind of client: ApiVersions, then Metadata. Ignores the brokers in the response: all requests are
/// sent to the bootstrap address.
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
