//! Who may push what, and when: client instances, subscriptions, rate rules (KIP-714).
//!
//! In: a question for a subscription, or a [`Push`]. Out: a subscription, or an [`Admitted`] that only this room can
//! make; else a [`Refusal`]. Bounded by the client table's cap and TTL. Does no I/O and reads no clock: decisions are
//! functions of state, input and the time they are given. Holds one lock for the length of a table look-up, and
//! tries no pattern under it.
//!
//! Where Apache's broker is known to be wrong this room differs: a terminating push that was refused, here or in a later
//! room, does not lock its client out (KAFKA-20898), and one that was taken locks out the connection it came through and
//! no other, as ids can be known to strangers; a Get that is excused after an error counts as a Get; a client that arrives a little early because the
//! network was quicker this time is not throttled (see `pace.rs`).

mod alarms;
mod answer;
mod chain;
mod clock;
mod config;
mod entry;
mod forecast;
mod forgotten;
mod gate;
mod id;
mod instance;
mod known;
mod links;
mod looking;
mod origin;
mod oversize;
mod pace;
mod quota;
mod refusal;
mod rule;
mod slab;
mod software;
mod source;
mod standing;
mod subscription;
mod table;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use crate::push::{Client, Codec, ConnectionId, Departed, GoneReason, InstanceId, Push};
use answer::Answers;
use clock::Clock;
use gate::Gate;
use instance::Instance;
use origin::Origins;
use quota::Cost;
use source::Key;
use table::Table;

pub use config::Config;
pub use forecast::Forecast;
pub use known::Known;
pub use quota::{Quotas, Rates};
pub use refusal::Refusal;
pub use rule::{MatchKey, SubscriptionRule};
pub use software::{ClientRule, Wildcard};
pub use subscription::Subscription;
pub use table::Evictions;

/// A push that may go on to decode.
#[derive(Debug)]
pub struct Admitted {
    push: Push,
    codec: Codec,
}

impl Admitted {
    /// For doors whose pushes need no subscription, or whose broker has admitted them already.
    pub fn declared(push: Push) -> Result<Self, Refusal> {
        let codec = Codec::from_id(push.codec).ok_or(Refusal::UnsupportedCodec(push.codec))?;
        Ok(Self { push, codec })
    }

    /// What it is, before anybody takes it.
    pub(crate) fn parts(&self) -> (&Push, Codec) {
        (&self.push, self.codec)
    }

    /// For the next room.
    pub(crate) fn into_parts(self) -> (Push, Codec) {
        (self.push, self.codec)
    }
}

/// Fills 16 random bytes.
type Random = Box<dyn FnMut() -> [u8; 16] + Send>;

/// Clients that expire while the lock is held.
const EXPIRE_AT_ONCE: usize = 256;

/// The room. Shared by all threads.
pub struct Admission {
    state: Mutex<State>,
}

struct State {
    answers: Arc<Answers>,
    table: Table,
    gate: Gate,
    origins: Origins,
    clock: Clock,
    random: Random,
}

/// How full the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Client instances known.
    pub instances: usize,
    /// Forgotten because there were too many.
    pub evicted: Evictions,
    /// Of those, had a push let pass and were dropped before receivers were told that they are gone.
    pub untold: u64,
}

/// A request, as the rules see it.
struct Asking<'a> {
    client: &'a Arc<Client>,
    connection: ConnectionId,
    now: u64,
    /// The subscription id that a push goes by; a question goes by none.
    believes: Option<i32>,
    /// Its source in the table.
    source: u32,
}

impl Admission {
    /// A room with no clients, drawing ids from the operating system.
    pub fn new(config: Config) -> Self {
        Self::with_random(config, || {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
            bytes
        })
    }

    /// As [`Admission::new`], with a source of randomness of your own.
    pub fn with_random(config: Config, random: impl FnMut() -> [u8; 16] + Send + 'static) -> Self {
        let state = State {
            table: Table::new(config.capacity),
            answers: Arc::new(Answers::new(config, 0)),
            gate: Gate::new(),
            origins: Origins::default(),
            clock: Clock::default(),
            random: Box::new(random),
        };
        Self { state: Mutex::new(state) }
    }

    /// Answers what this client shall push, giving it an id if it has none.
    pub fn subscribe(
        &self,
        client: &Arc<Client>,
        connection: ConnectionId,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Subscription, Refusal> {
        let mut state = self.lock();
        let mut asking = state.asking(client, connection, now, wall);
        let own = client.instance_id.filter(|id| !id.is_reserved());
        let mut entered = self.enter(state, &mut asking, own, Cost::default())?;
        let answers = entered.answers();
        let (instance, config) = (entered.instance(), answers.config());
        instance.get()?;
        let (instance_id, id, answer) = (instance.id, instance.subscription_id(), instance.answer.clone());
        Ok(Subscription {
            instance_id,
            id,
            codecs: Codec::OFFERED.to_vec(),
            push_interval: answer.interval,
            max_bytes: config.max_wire,
            delta: config.delta,
            metrics: answer.metrics.clone(),
        })
    }

    /// Judges a push by the quotas, then by its client's state, in the order in which Apache's broker does.
    pub fn admit(&self, mut push: Push, connection: ConnectionId, now: Instant) -> Result<Admitted, Refusal> {
        let id = match push.client.instance_id {
            Some(id) if !id.is_reserved() => id,
            _ => return Err(Refusal::InvalidRequest("a push needs a client instance id, which a subscription gives")),
        };
        let mut state = self.lock();
        let client = push.client.clone();
        let mut asking = state.asking(&client, connection, now, push.received_at);
        asking.believes = Some(push.subscription_id.unwrap_or_default());
        let cost = Cost { pushes: 1, push_bytes: push.wire.len() as u64, ..Cost::default() };
        let mut entered = self.enter(state, &mut asking, Some(id), cost)?;
        let max_wire = entered.answers().config().max_wire;
        let instance = entered.instance();
        let codec = instance.push(&push, connection, max_wire)?;
        push.push_interval = Some(instance.answer.interval);
        entered.prove();
        Ok(Admitted { push, codec })
    }

    /// Remembers that another room refused what this one let pass.
    pub fn refused(&self, instance: InstanceId, refusal: &Refusal) {
        let mut state = self.lock();
        let number = state.table.find(instance);
        if let Some(instance) = number.and_then(|number| state.table.get_mut(number)) {
            instance.note(refusal);
        }
    }

    /// Whether keys 71 and 72 are offered to a client of this software: those that telemetry hurts are left alone.
    pub fn offers_telemetry_to(&self, client: &Client) -> bool {
        let answers = self.lock().answers.clone();
        software::offers_telemetry(&answers.config().clients, client)
    }

    /// To be called when a terminating push that came through this connection was taken: the client pushes no more
    /// through it. Tells once that it is gone.
    pub fn terminated(&self, instance: InstanceId, on: ConnectionId, wall: SystemTime) -> Option<Departed> {
        self.depart(instance, |instance| instance.terminate(on, wall))
    }

    /// As [`Admission::terminated`], when another room refused the push: the client means to go, but may push again.
    pub fn left(&self, instance: InstanceId, wall: SystemTime) -> Option<Departed> {
        self.depart(instance, |instance| instance.depart(GoneReason::Terminated, wall))
    }

    fn depart(&self, instance: InstanceId, how: impl FnOnce(&mut Instance) -> Option<Departed>) -> Option<Departed> {
        let mut state = self.lock();
        let number = state.table.find(instance)?;
        how(state.table.get_mut(number)?)
    }

    /// A connection is closed. A client may have several (Java opens a second one and closes the first): it is gone
    /// with the last. What is known of its pace stays until the TTL, so that connecting anew is no way around the
    /// rate rules; a client that comes back may ask for its subscription at once, as librdkafka does.
    pub fn disconnected(&self, connection: ConnectionId, wall: SystemTime) -> Vec<Departed> {
        let mut state = self.lock();
        state.gate.closed(connection);
        let mut gone = Vec::new();
        state.table.unlink(connection, |instance| gone.extend(instance.disconnect(wall)));
        gone
    }

    /// Forgets clients not heard of for `max(60 s, 3 × interval)`, and tells of those too that were forgotten since for
    /// want of room, if ever a push of theirs was let pass; call it about once a second.
    pub fn expire(&self, now: Instant, wall: SystemTime) -> Vec<Departed> {
        let mut expired = Vec::new();
        // The lock is let go in between: after a quiet time thousands may be due at once.
        while self.lock().expire(now, &mut expired) {}
        expired.into_iter().filter_map(|mut instance| instance.depart(GoneReason::Expired, wall)).collect()
    }

    /// Another configuration, from the next request of each client on.
    pub fn reconfigure(&self, config: Config) {
        let mut state = self.lock();
        state.table.resize(config.capacity);
        let answers = Arc::new(Answers::new(config, state.answers.version() + 1));
        let before = std::mem::replace(&mut state.answers, answers);
        drop(state);
        // A thousand compiled patterns are not let go under the lock.
        drop(before);
    }

    /// How full the table is.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts { instances: state.table.len(), evicted: state.table.evicted(), untold: state.table.forgotten.untold() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here is left half done by a panic that could be caught.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn draw_id(&mut self) -> InstanceId {
        loop {
            match InstanceId::from_random((self.random)()) {
                Some(id) if self.table.find(id).is_none() => return id,
                _ => {}
            }
        }
    }

    fn asking<'a>(
        &mut self,
        client: &'a Arc<Client>,
        connection: ConnectionId,
        now: Instant,
        wall: SystemTime,
    ) -> Asking<'a> {
        let source = self.table.sources.touch(&Key::of(client));
        Asking { client, connection, now: self.clock.request(now, wall), believes: None, source }
    }

    fn expire(&mut self, now: Instant, expired: &mut Vec<Instance>) -> bool {
        let now = self.clock.at(now);
        // Both, in each turn.
        let more = self.table.take_expired(now, EXPIRE_AT_ONCE, expired);
        self.table.forgotten.take(EXPIRE_AT_ONCE, expired) || more
    }
}
