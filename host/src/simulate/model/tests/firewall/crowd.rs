//! Clients of every kind with one host, moment by moment.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::advance;

use super::SURVIVABLE;
use super::rooms::{MOST, Rooms};
use super::script::{JAVA, LIBRDKAFKA, Mood, Told as Wanted, Trouble};
use crate::admission::Refusal;
use crate::listener::kafka::error_code;
use crate::push::{Client, ConnectionId, Ingress, InstanceId, Push};
use crate::simulate::model::{Ask, Kind, Model, Told};

/// The most that a request or an answer is on its way.
const LATENCY_MS: u64 = 100;

/// Where all clients come from.
const SOURCE: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 1, 2, 3), 40_000);

struct Life {
    model: Model,
    name: Arc<str>,
    connection: Option<ConnectionId>,
    /// When it connects (again).
    back: Duration,
    stage: Stage,
    /// A push of its own was taken since the calm began.
    pushed: bool,
}

enum Stage {
    Idle,
    /// On the way to the host.
    Out(Duration, Ask),
    /// On the way back.
    Back(Duration, Answer),
}

enum Answer {
    Get(Result<Told, i16>),
    Push(Result<(), i16>),
}

impl Answer {
    fn code(&self) -> i16 {
        match self {
            Self::Get(answer) => answer.as_ref().err(),
            Self::Push(answer) => answer.as_ref().err(),
        }
        .copied()
        .unwrap_or_default()
    }
}

/// What befell a crowd.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) codes: BTreeSet<i16>,
    pub(super) shed: bool,
    pub(super) dead: bool,
    pub(super) unwanted: bool,
    pub(super) evicted: bool,
    /// A client asked more often than all of its address may.
    pub(super) over_quota: bool,
    /// A client was told of no metrics, and one was told of all in either way.
    pub(super) told: BTreeSet<Vec<String>>,
}

impl Seen {
    pub(super) fn add(&mut self, other: &Self) {
        self.codes.extend(&other.codes);
        self.shed |= other.shed;
        self.dead |= other.dead;
        self.unwanted |= other.unwanted;
        self.evicted |= other.evicted;
        self.over_quota |= other.over_quota;
        self.told.extend(other.told.iter().cloned());
    }
}

pub(super) struct Crowd {
    pub(super) seen: Seen,
    lives: Vec<Life>,
    rooms: Rooms,
    now: Duration,
    swept: Duration,
    made: u64,
    oversized: bool,
    /// No connection is made before.
    nobody_receives: bool,
    /// What was answered that not every client survives.
    fatal: Vec<String>,
}

impl Crowd {
    pub(super) fn new(clients: u64, rooms: Rooms) -> Self {
        let mut crowd = Self {
            seen: Seen::default(),
            lives: Vec::new(),
            rooms,
            now: Duration::ZERO,
            swept: Duration::ZERO,
            made: 0,
            oversized: false,
            nobody_receives: false,
            fatal: Vec::new(),
        };
        crowd.lives = (0..clients).map(|_| crowd.born()).collect();
        crowd
    }

    fn born(&mut self) -> Life {
        self.made += 1;
        let kind = Kind::ALL[self.made as usize % Kind::ALL.len()];
        let (name, back) = (format!("client-{}", self.made).into(), self.now + self.latency());
        Life { model: Model::new(kind, self.made), name, connection: None, back, stage: Stage::Idle, pushed: false }
    }

    /// A little, and not the same each time.
    fn latency(&mut self) -> Duration {
        let mixed = (self.now.as_micros() as u64 ^ (self.made << 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Duration::from_millis(1 + mixed % LATENCY_MS)
    }

    pub(super) fn trouble(&mut self, trouble: &Trouble) {
        match *trouble {
            Trouble::Nothing => {}
            Trouble::TinyQueues(tiny) => self.rooms.resize(tiny),
            Trouble::Pause => self.rooms.serve(false),
            Trouble::Resume => self.rooms.serve(true),
            Trouble::Receivers(mood) => self.rooms.mood = mood,
            Trouble::RemoveOne => self.rooms.remove_one(),
            Trouble::RemoveAll => {
                self.rooms.remove_all();
                self.nobody_receives = true;
            }
            Trouble::AddAll => self.add_all(),
            Trouble::Reconfigure(told) => self.rooms.reconfigure(told),
            Trouble::Disconnect { every, first, away } => {
                let chosen = (0..self.lives.len()).filter(|at| at % every == first % every).collect::<Vec<_>>();
                chosen.into_iter().for_each(|at| self.disconnect(at, away));
            }
            Trouble::Restart { away } => self.restart(away),
            Trouble::Oversized(oversized) => self.oversized = oversized,
            Trouble::Spoof { knows_subscription } => self.spoof(knows_subscription),
            Trouble::Flood { ids } => self.flood(ids),
            Trouble::Close { every } => {
                let now = self.now;
                let idle = |life: &&mut Life| matches!(life.stage, Stage::Idle) && life.connection.is_some();
                self.lives.iter_mut().step_by(every).filter(idle).for_each(|life| life.model.close(now));
            }
        }
    }

    /// The trouble ends.
    pub(super) fn calm(&mut self) {
        self.rooms.resize(false);
        self.rooms.serve(true);
        self.rooms.mood = Mood::Take;
        self.rooms.reconfigure(Wanted::default());
        self.add_all();
        self.oversized = false;
        let now = self.now;
        for life in &mut self.lives {
            life.back = life.back.min(now);
            life.pushed = false;
        }
    }

    fn add_all(&mut self) {
        self.rooms.add_all();
        self.nobody_receives = false;
    }

    /// Only while nothing is in flight: that is what a door promises.
    fn disconnect(&mut self, at: usize, away: Duration) {
        let life = &mut self.lives[at];
        if !matches!(life.stage, Stage::Idle) {
            return;
        }
        let Some(connection) = life.connection.take() else { return };
        life.model.disconnected(self.now);
        life.back = self.now + away;
        self.rooms.intake.disconnected(connection);
    }

    fn restart(&mut self, away: Duration) {
        for at in 0..self.lives.len() {
            // What was read is answered, and the answer arrives, before the connection is closed.
            while !matches!(self.lives[at].stage, Stage::Idle) {
                self.act(at);
            }
            self.disconnect(at, away);
        }
        self.rooms.restart();
    }

    fn spoof(&mut self, knows_subscription: bool) {
        for life in &self.lives {
            let Some(told) = life.model.told() else { continue };
            let subscription_id = told.subscription_id.wrapping_add(i32::from(!knows_subscription));
            let push = push(told.instance, "somebody", subscription_id, false, 0, 10);
            // Whatever it is answered.
            let _ = self.rooms.intake.push(push, ConnectionId(0));
        }
    }

    fn flood(&mut self, ids: usize) {
        for _ in 0..ids {
            self.made += 1;
            let id = InstanceId::from_bytes(u128::from(self.made).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            let stranger = client(&"stranger".into(), Kind::Java42, Some(id));
            // Whatever it is answered.
            let _ = self.rooms.intake.subscribe(&stranger, ConnectionId::next());
        }
    }

    /// Remembers what happened so far.
    pub(super) fn look(&mut self) {
        let seen = self.rooms.seen();
        self.seen.add(&seen);
    }

    /// Lives on for so long.
    pub(super) async fn run(&mut self, span: Duration) {
        self.run_while(self.now + span, |_| true).await;
    }

    pub(super) async fn run_until_all_pushed(&mut self, most: Duration) {
        self.run_while(self.now + most, |crowd| !crowd.lives.iter().all(|life| life.pushed)).await;
    }

    async fn run_while(&mut self, end: Duration, goes_on: impl Fn(&Self) -> bool) {
        while goes_on(self) {
            let moments = self.lives.iter().map(|life| self.moment(life)).enumerate();
            let next = moments.filter_map(|(at, moment)| Some((moment?.max(self.now), at))).min();
            let Some((moment, at)) = next.filter(|(moment, _)| *moment <= end) else { break };
            self.pass(moment).await;
            self.act(at);
            self.rooms.eat().await;
        }
        if goes_on(self) {
            self.pass(end).await;
        }
    }

    async fn pass(&mut self, until: Duration) {
        advance(until - self.now).await;
        self.now = until;
        if self.now >= self.swept + Duration::from_secs(1) {
            self.swept = self.now;
            self.rooms.reception.expire_clients(tokio::time::Instant::now().into_std());
        }
    }

    /// When something happens to it next.
    fn moment(&self, life: &Life) -> Option<Duration> {
        match &life.stage {
            Stage::Out(at, _) | Stage::Back(at, _) => Some(*at),
            Stage::Idle if life.connection.is_none() => (!self.nobody_receives).then_some(life.back),
            // One that closed is followed by another at once.
            Stage::Idle => life.model.next().map(|(due, _)| due).or(self.has_closed(life).then_some(self.now)),
        }
    }

    fn has_closed(&self, life: &Life) -> bool {
        life.model.silent().is_some_and(|reason| reason == crate::simulate::model::CLOSED)
    }

    fn act(&mut self, at: usize) {
        let (now, latency) = (self.now, self.latency());
        let life = &mut self.lives[at];
        match std::mem::replace(&mut life.stage, Stage::Idle) {
            Stage::Out(_, ask) => {
                let answer = self.answer(at, ask);
                self.lives[at].stage = Stage::Back(now + latency, answer);
            }
            Stage::Back(_, Answer::Get(answer)) => life.model.answered_get(now, answer),
            Stage::Back(_, Answer::Push(answer)) => life.model.answered_push(now, answer),
            Stage::Idle if life.connection.is_none() => {
                life.connection = Some(ConnectionId::next());
                life.model.connected(now, self.rooms.intake.offers_telemetry());
            }
            Stage::Idle => match life.model.next() {
                Some((_, ask)) => {
                    life.model.sent(now);
                    life.stage = Stage::Out(now + latency, ask);
                }
                None => {
                    self.disconnect(at, Duration::ZERO);
                    self.lives[at] = self.born();
                }
            },
        }
    }

    fn answer(&mut self, at: usize, ask: Ask) -> Answer {
        let life = &mut self.lives[at];
        let connection = life.connection.expect("it asks over one");
        let answer = match ask {
            Ask::Get { instance } => {
                let client = client(&life.name, life.model.kind(), (instance != InstanceId::NIL).then_some(instance));
                let answer = self.rooms.intake.subscribe(&client, connection);
                self.seen.over_quota |= matches!(answer, Err(Refusal::OverQuota { .. }));
                let answer = answer.map(told);
                self.seen.told.extend(answer.iter().map(|told| told.metrics.clone()));
                Answer::Get(answer.map_err(|refusal| error_code(&refusal)))
            }
            Ask::Push { instance, subscription_id, terminating } => {
                let size = if self.oversized { 2 * MOST } else { 10 };
                let client = client(&life.name, life.model.kind(), Some(instance));
                let push = push(instance, &life.name, subscription_id, terminating, life.model.codec(), size);
                let answer = self.rooms.intake.push(Push { client, ..push }, connection);
                life.pushed |= answer.is_ok();
                self.seen.over_quota |= matches!(answer, Err(Refusal::OverQuota { .. }));
                Answer::Push(answer.map(|_| ()).map_err(|refusal| error_code(&refusal)))
            }
        };
        let code = answer.code();
        self.seen.codes.insert(code);
        if !SURVIVABLE.contains(&code) {
            self.fatal.push(format!("{} was answered {code} to {ask:?}", self.describe(at)));
        }
        answer
    }

    fn describe(&self, at: usize) -> String {
        let life = &self.lives[at];
        format!("{} ({}) at {:?}", life.name, life.model.kind(), self.now)
    }

    /// Nobody is silent but who closed, and nobody was told what could silence anybody.
    pub(super) fn judge(&self) -> Result<(), String> {
        self.rooms.judge();
        let silent = (0..self.lives.len()).filter(|at| !self.has_closed(&self.lives[*at])).filter_map(|at| {
            self.lives[at].model.silent().map(|reason| format!("{} is silent: {reason}", self.describe(at)))
        });
        let wrong: Vec<_> = silent.take(3).chain(self.fatal.iter().take(3).cloned()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    /// Everybody pushes again, and means to go on.
    pub(super) fn judge_calm(&self) -> Result<(), String> {
        for (at, life) in self.lives.iter().enumerate() {
            if !life.pushed {
                return Err(format!("{} has not pushed since the calm", self.describe(at)));
            }
            if self.moment(life).is_none() {
                return Err(format!("{} plans nothing", self.describe(at)));
            }
        }
        Ok(())
    }
}

fn client(name: &Arc<str>, kind: Kind, instance_id: Option<InstanceId>) -> Arc<Client> {
    let software = if kind == Kind::Librdkafka { LIBRDKAFKA } else { JAVA };
    let (client_id, software_name) = (Some(name.clone()), Some(software.into()));
    let source = Some(SocketAddr::from(SOURCE));
    Arc::new(Client { instance_id, client_id, software_name, source, ..Client::default() })
}

fn told(subscription: crate::admission::ClientSubscription) -> Told {
    Told {
        instance: subscription.instance_id,
        subscription_id: subscription.id,
        codecs: subscription.codecs.iter().map(|codec| codec.id()).collect(),
        interval: subscription.push_interval,
        metrics: subscription.metrics.iter().map(|prefix| prefix.to_string()).collect(),
        delta: subscription.delta,
    }
}

/// A push of one gauge, and so many bytes in a field that OTLP does not know.
fn push(instance: InstanceId, name: &str, subscription_id: i32, terminating: bool, codec: i8, spare: usize) -> Push {
    let wire = metrics(spare);
    let wire = if codec == 4 { zstd::bulk::compress(&wire, 1).expect("it compresses").into() } else { wire };
    Push {
        format: crate::push::Format::Protobuf,
        client: client(&name.into(), Kind::Java42, Some(instance)),
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
