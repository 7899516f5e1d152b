//! Simulated clients of every kind with one host, event by event.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::advance;

use super::SURVIVABLE;
use super::host_fixture::{HostFixture, MAX_DECODED};
use super::script::{Disturbance, HostSettings as Wanted, JAVA, LIBRDKAFKA, ReceiverBehaviour};
use crate::model::{ClientKind, Model, ModelSubscription, TelemetryRequest};
use barnabas_base::InstanceId;
use barnabas_ingress::kafka::error_code;
use barnabas_pipeline::admission::Refusal;
use barnabas_pipeline::push::{Client, ConnectionId, Ingress, Push};

/// Maximum latency of a request or a response.
const LATENCY_MS: u64 = 100;

/// Source address of all clients.
const SOURCE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 1, 2, 3), 40_000);

struct CrowdClient {
    model: Model,
    name: Arc<str>,
    connection: Option<ConnectionId>,
    /// Time of the next connection attempt.
    back: Duration,
    stage: RequestStage,
    /// Whether a push was accepted since the end of the disturbances.
    pushed: bool,
}

enum RequestStage {
    Idle,
    /// The request arrives at the host at this time.
    Out(Duration, TelemetryRequest),
    /// The response arrives at the client at this time.
    Back(Duration, ClientAnswer),
}

enum ClientAnswer {
    Get(Result<ModelSubscription, i16>),
    Push(Result<(), i16>),
}

impl ClientAnswer {
    fn code(&self) -> i16 {
        match self {
            Self::Get(answer) => answer.as_ref().err(),
            Self::Push(answer) => answer.as_ref().err(),
        }
        .copied()
        .unwrap_or_default()
    }
}

/// What the test observed.
#[derive(Debug, Default)]
pub(super) struct Observations {
    pub(super) codes: BTreeSet<i16>,
    pub(super) shed: bool,
    pub(super) dropped: bool,
    pub(super) unwanted: bool,
    pub(super) evicted: bool,
    /// Whether a client exceeded the quota of its source address.
    pub(super) over_quota: bool,
    /// All sets of metric prefixes that clients received.
    pub(super) metrics: BTreeSet<Vec<String>>,
}

impl Observations {
    pub(super) fn add(&mut self, other: &Self) {
        self.codes.extend(&other.codes);
        self.shed |= other.shed;
        self.dropped |= other.dropped;
        self.unwanted |= other.unwanted;
        self.evicted |= other.evicted;
        self.over_quota |= other.over_quota;
        self.metrics.extend(other.metrics.iter().cloned());
    }
}

pub(super) struct Crowd {
    pub(super) seen: Observations,
    clients: Vec<CrowdClient>,
    host: HostFixture,
    now: Duration,
    swept: Duration,
    made: u64,
    oversized: bool,
    /// While no receiver is configured, clients do not connect.
    no_receivers: bool,
    /// Descriptions of responses after which some clients stop pushing for good.
    fatal: Vec<String>,
}

impl Crowd {
    pub(super) fn new(clients: u64, rooms: HostFixture) -> Self {
        let mut crowd = Self {
            seen: Observations::default(),
            clients: Vec::new(),
            host: rooms,
            now: Duration::ZERO,
            swept: Duration::ZERO,
            made: 0,
            oversized: false,
            no_receivers: false,
            fatal: Vec::new(),
        };
        crowd.clients = (0..clients).map(|_| crowd.new_client()).collect();
        crowd
    }

    fn new_client(&mut self) -> CrowdClient {
        self.made += 1;
        let kind = ClientKind::ALL[self.made as usize % ClientKind::ALL.len()];
        let (name, back) = (format!("client-{}", self.made).into(), self.now + self.latency());
        CrowdClient {
            model: Model::new(kind, self.made),
            name,
            connection: None,
            back,
            stage: RequestStage::Idle,
            pushed: false,
        }
    }

    /// A short latency that varies.
    fn latency(&mut self) -> Duration {
        let mixed = (self.now.as_micros() as u64 ^ (self.made << 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Duration::from_millis(1 + mixed % LATENCY_MS)
    }

    pub(super) fn disturb(&mut self, disturbance: &Disturbance) {
        match *disturbance {
            Disturbance::None => {}
            Disturbance::TinyQueues(tiny) => self.host.resize(tiny),
            Disturbance::Pause => self.host.serve(false),
            Disturbance::Resume => self.host.serve(true),
            Disturbance::Receivers(mood) => self.host.behaviour = mood,
            Disturbance::RemoveOne => self.host.remove_one(),
            Disturbance::RemoveAll => {
                self.host.remove_all();
                self.no_receivers = true;
            }
            Disturbance::AddAll => self.add_all(),
            Disturbance::Reconfigure(given_subscription) => self.host.reconfigure(given_subscription),
            Disturbance::Disconnect { every, first, away } => {
                let chosen = (0..self.clients.len()).filter(|at| at % every == first % every).collect::<Vec<_>>();
                chosen.into_iter().for_each(|at| self.disconnect(at, away));
            }
            Disturbance::Restart { away } => self.restart(away),
            Disturbance::Oversized(oversized) => self.oversized = oversized,
            Disturbance::Spoof { knows_subscription } => self.spoof(knows_subscription),
            Disturbance::Flood { ids } => self.flood(ids),
            Disturbance::Close { every } => {
                let now = self.now;
                let idle =
                    |life: &&mut CrowdClient| matches!(life.stage, RequestStage::Idle) && life.connection.is_some();
                self.clients.iter_mut().step_by(every).filter(idle).for_each(|life| life.model.close(now));
            }
        }
    }

    /// Ends all disturbances.
    pub(super) fn end_disturbance(&mut self) {
        self.host.resize(false);
        self.host.serve(true);
        self.host.behaviour = ReceiverBehaviour::Accept;
        self.host.reconfigure(Wanted::default());
        self.add_all();
        self.oversized = false;
        let now = self.now;
        for life in &mut self.clients {
            life.back = life.back.min(now);
            life.pushed = false;
        }
    }

    fn add_all(&mut self) {
        self.host.add_all();
        self.no_receivers = false;
    }

    /// Disconnects a client, but only without a request in flight: that is what a listener guarantees.
    fn disconnect(&mut self, at: usize, away: Duration) {
        let life = &mut self.clients[at];
        if !matches!(life.stage, RequestStage::Idle) {
            return;
        }
        let Some(connection) = life.connection.take() else { return };
        life.model.disconnected(self.now);
        life.back = self.now + away;
        self.host.intake.disconnected(connection);
    }

    fn restart(&mut self, away: Duration) {
        for at in 0..self.clients.len() {
            // The host responds to every request that it has read before it closes the connection.
            while !matches!(self.clients[at].stage, RequestStage::Idle) {
                self.step(at);
            }
            self.disconnect(at, away);
        }
        self.host.restart();
    }

    fn spoof(&mut self, knows_subscription: bool) {
        for life in &self.clients {
            let Some(given_subscription) = life.model.subscription() else { continue };
            let subscription_id = given_subscription.subscription_id.wrapping_add(i32::from(!knows_subscription));
            let push = push(given_subscription.instance, "attacker", subscription_id, false, 0, 10);
            // Any response is fine.
            let _ = self.host.intake.push(push, ConnectionId(0));
        }
    }

    fn flood(&mut self, ids: usize) {
        for _ in 0..ids {
            self.made += 1;
            let id = InstanceId::from_bytes(u128::from(self.made).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let stranger = client(&"stranger".into(), ClientKind::Java42, Some(id));
            // Any response is fine.
            let _ = self.host.intake.subscribe(&stranger, ConnectionId::next());
        }
    }

    /// Adds the observations so far.
    pub(super) fn observe(&mut self) {
        let seen = self.host.observations();
        self.seen.add(&seen);
    }

    /// Runs for this time.
    pub(super) async fn run(&mut self, span: Duration) {
        self.run_while(self.now + span, |_| true).await;
    }

    pub(super) async fn run_until_all_pushed(&mut self, most: Duration) {
        self.run_while(self.now + most, |crowd| !crowd.clients.iter().all(|life| life.pushed)).await;
    }

    async fn run_while(&mut self, end: Duration, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) {
            let moments = self.clients.iter().map(|life| self.next_event(life)).enumerate();
            let next = moments.filter_map(|(at, moment)| Some((moment?.max(self.now), at))).min();
            let Some((moment, at)) = next.filter(|(moment, _)| *moment <= end) else { break };
            self.advance_to(moment).await;
            self.step(at);
            self.host.process_batches().await;
        }
        if goes_on(self) {
            self.advance_to(end).await;
        }
    }

    async fn advance_to(&mut self, until: Duration) {
        advance(until - self.now).await;
        self.now = until;
        if self.now >= self.swept + Duration::from_secs(1) {
            self.swept = self.now;
            self.host.reception.expire_clients(tokio::time::Instant::now().into_std());
        }
    }

    /// The time of the next event of a client.
    fn next_event(&self, life: &CrowdClient) -> Option<Duration> {
        match &life.stage {
            RequestStage::Out(at, _) | RequestStage::Back(at, _) => Some(*at),
            RequestStage::Idle if life.connection.is_none() => (!self.no_receivers).then_some(life.back),
            // A closed client is replaced by a new one immediately.
            RequestStage::Idle => life.model.next().map(|(due, _)| due).or(self.has_closed(life).then_some(self.now)),
        }
    }

    fn has_closed(&self, life: &CrowdClient) -> bool {
        life.model.silent().is_some_and(|reason| reason == crate::model::CLOSED)
    }

    fn step(&mut self, at: usize) {
        let (now, latency) = (self.now, self.latency());
        let life = &mut self.clients[at];
        match std::mem::replace(&mut life.stage, RequestStage::Idle) {
            RequestStage::Out(_, ask) => {
                let answer = self.answer(at, ask);
                self.clients[at].stage = RequestStage::Back(now + latency, answer);
            }
            RequestStage::Back(_, ClientAnswer::Get(answer)) => life.model.answered_get(now, answer),
            RequestStage::Back(_, ClientAnswer::Push(answer)) => life.model.answered_push(now, answer),
            RequestStage::Idle if life.connection.is_none() => {
                life.connection = Some(ConnectionId::next());
                life.model.connected(now, self.host.intake.offers_telemetry());
            }
            RequestStage::Idle => match life.model.next() {
                Some((_, ask)) => {
                    life.model.sent(now);
                    life.stage = RequestStage::Out(now + latency, ask);
                }
                None => {
                    self.disconnect(at, Duration::ZERO);
                    self.clients[at] = self.new_client();
                }
            },
        }
    }

    fn answer(&mut self, at: usize, ask: TelemetryRequest) -> ClientAnswer {
        let life = &mut self.clients[at];
        let connection = life.connection.expect("a client sends requests only on a connection");
        let answer = match ask {
            TelemetryRequest::Get { instance } => {
                let client = client(&life.name, life.model.kind(), (instance != InstanceId::NIL).then_some(instance));
                let answer = self.host.intake.subscribe(&client, connection);
                self.seen.over_quota |= matches!(answer, Err(Refusal::OverQuota { .. }));
                let answer = answer.map(model_subscription);
                self.seen.metrics.extend(answer.iter().map(|given_subscription| given_subscription.metrics.clone()));
                ClientAnswer::Get(answer.map_err(|refusal| error_code(&refusal)))
            }
            TelemetryRequest::Push { instance, subscription_id, terminating } => {
                let size = if self.oversized { 2 * MAX_DECODED } else { 10 };
                let client = client(&life.name, life.model.kind(), Some(instance));
                let push = push(instance, &life.name, subscription_id, terminating, life.model.codec(), size);
                let answer = self.host.intake.push(Push { client, ..push }, connection);
                life.pushed |= answer.is_ok();
                self.seen.over_quota |= matches!(answer, Err(Refusal::OverQuota { .. }));
                ClientAnswer::Push(answer.map(|_| ()).map_err(|refusal| error_code(&refusal)))
            }
        };
        let code = answer.code();
        self.seen.codes.insert(code);
        if !SURVIVABLE.contains(&code) {
            self.fatal.push(format!("{} received {code} for {ask:?}", self.describe(at)));
        }
        answer
    }

    fn describe(&self, at: usize) -> String {
        let life = &self.clients[at];
        format!("{} ({}) at {:?}", life.name, life.model.kind(), self.now)
    }

    /// Checks that no client is silent unless it was closed, and that no response could silence a client.
    pub(super) fn check(&self) -> Result<(), String> {
        self.host.check();
        let silent = (0..self.clients.len()).filter(|at| !self.has_closed(&self.clients[*at])).filter_map(|at| {
            self.clients[at].model.silent().map(|reason| format!("{} is silent: {reason}", self.describe(at)))
        });
        let wrong: Vec<_> = silent.take(3).chain(self.fatal.iter().take(3).cloned()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Checks that every client has pushed again, and plans further requests.
    pub(super) fn check_calm(&self) -> Result<(), String> {
        for (at, life) in self.clients.iter().enumerate() {
            if !life.pushed {
                return Err(format!("{} has not pushed since the end of the disturbances", self.describe(at)));
            }
            if self.next_event(life).is_none() {
                return Err(format!("{} plans no request", self.describe(at)));
            }
        }
        Ok(())
    }
}

fn client(name: &Arc<str>, kind: ClientKind, instance_id: Option<InstanceId>) -> Arc<Client> {
    let software = if kind == ClientKind::Librdkafka { LIBRDKAFKA } else { JAVA };
    let (client_id, software_name) = (Some(name.clone()), Some(software.into()));
    let source = Some(SocketAddr::from(SOURCE));
    Arc::new(Client { instance_id, client_id, software_name, source, ..Client::default() })
}

fn model_subscription(subscription: barnabas_pipeline::admission::ClientSubscription) -> ModelSubscription {
    ModelSubscription {
        instance: subscription.instance_id,
        subscription_id: subscription.id,
        codecs: subscription.codecs.iter().map(|codec| codec.id()).collect(),
        interval: subscription.push_interval,
        metrics: subscription.metrics.iter().map(|prefix| prefix.to_string()).collect(),
        delta: subscription.delta,
    }
}

/// A push with one gauge, and `spare` bytes in a field that OTLP does not define.
fn push(instance: InstanceId, name: &str, subscription_id: i32, terminating: bool, codec: i8, spare: usize) -> Push {
    let wire = metrics(spare);
    let wire = if codec == 4 { zstd::bulk::compress(&wire, 1).expect("compression works").into() } else { wire };
    Push {
        format: barnabas_pipeline::push::Format::Protobuf,
        client: client(&name.into(), ClientKind::Java42, Some(instance)),
        ingress: Ingress::Kafka,
        received_at: SystemTime::UNIX_EPOCH,
        terminating,
        subscription_id: Some(subscription_id),
        codec,
        wire,
        push_interval: None,
        node_id: Some(1),
        trace_parent: None,
    }
}

fn metrics(spare: usize) -> Bytes {
    let nest = |tag: u8, body: &[u8]| {
        let length = [(body.len() & 0x7f) as u8 | 0x80, (body.len() >> 7) as u8];
        [&[tag], &length[..], body].concat()
    };
    let point = [&[0x19][..], &[1; 8]].concat();
    let metric = [nest(0x0a, b"m"), nest(0x2a, &nest(0x0a, &point))].concat();
    [nest(0x0a, &nest(0x12, &nest(0x12, &metric))), nest(0x7a, &vec![0; spare])].concat().into()
}
