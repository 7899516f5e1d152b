//! Who may push what, and when: client instances, subscriptions, rate rules (KIP-714).
//!
//! In: a question for a subscription, or a [`Push`]. Out: a subscription, or an [`Admitted`] that only this room can
//! make; else a [`Refusal`]. Bounded by the client table's cap and TTL. Does no I/O and reads no clock: decisions are
//! functions of state, input and the time they are given. Holds one lock for the length of a table look-up.
//!
//! Where Apache's broker is known to be wrong this room differs: a terminating push that was refused does not lock its
//! client out; a Get that is excused after an error counts as a Get; a client that arrives a little early because the
//! network was quicker this time is not throttled (see `pace.rs`).

mod answer;
mod config;
mod forecast;
mod id;
mod instance;
mod known;
mod pace;
mod refusal;
mod rule;
mod subscription;
mod table;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::push::{Client, Codec, ConnectionId, Departed, GoneReason, InstanceId, Push};
use answer::Answers;
use instance::Instance;
use table::Table;

pub use config::Config;
pub use forecast::Forecast;
pub use known::Known;
pub use refusal::Refusal;
pub use rule::{MatchKey, SubscriptionRule};
pub use subscription::Subscription;

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

    /// For the next room.
    pub(crate) fn into_parts(self) -> (Push, Codec) {
        (self.push, self.codec)
    }
}

/// Fills 16 random bytes.
type Random = Box<dyn FnMut() -> [u8; 16] + Send>;

/// Clients looked at for expiry while the lock is held.
const LOOKS_AT_ONCE: usize = 256;

/// The room. Shared by all threads.
pub struct Admission {
    state: Mutex<State>,
}

struct State {
    answers: Answers,
    /// Counts configurations: state that was made under an older one is made anew.
    version: u64,
    table: Table,
    random: Random,
}

/// How full the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Client instances known.
    pub instances: usize,
    /// Forgotten because there were too many.
    pub evicted: u64,
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
        let table = Table::new(config.capacity);
        let state = State { answers: Answers::new(config), version: 0, table, random: Box::new(random) };
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
        let instance_id = match client.instance_id {
            Some(id) if !id.is_reserved() => id,
            _ => state.draw_id(),
        };
        let instance = state.touch(client, instance_id, connection, now, wall);
        instance.get(now, wall)?;
        let (id, push_interval, metrics) =
            (instance.subscription_id, instance.interval, instance.answer.metrics.clone());
        let config = state.answers.config();
        Ok(Subscription {
            instance_id,
            id,
            codecs: Codec::OFFERED.to_vec(),
            push_interval,
            max_bytes: config.max_wire,
            delta: config.delta,
            metrics,
        })
    }

    /// Judges a push by its client's state, in the order in which Apache's broker does.
    pub fn admit(&self, mut push: Push, connection: ConnectionId, now: Instant) -> Result<Admitted, Refusal> {
        let id = match push.client.instance_id {
            Some(id) if !id.is_reserved() => id,
            _ => return Err(Refusal::InvalidRequest("a push needs a client instance id, which a subscription gives")),
        };
        let mut state = self.lock();
        let max_wire = state.answers.config().max_wire;
        let instance = state.touch(&push.client, id, connection, now, push.received_at);
        let codec = instance.push(&push, now, max_wire)?;
        push.push_interval = Some(instance.interval);
        Ok(Admitted { push, codec })
    }

    /// To be called when a terminating push has been dispatched: tells that its client is gone, once.
    pub fn terminated(&self, instance: InstanceId, wall: SystemTime) -> Option<Departed> {
        let mut state = self.lock();
        let instance = state.table.get_mut(instance).filter(|instance| instance.terminating)?;
        instance.depart(GoneReason::Terminated, wall)
    }

    /// A connection is closed. A client may have several (Java opens a second one and closes the first): it is gone
    /// with the last. What is known of its pace stays until the TTL, so that connecting anew is no way around the
    /// rate rules; a client that comes back may ask for its subscription at once, as librdkafka does.
    pub fn disconnected(&self, connection: ConnectionId, wall: SystemTime) -> Vec<Departed> {
        let mut state = self.lock();
        let table = &mut state.table;
        let mut gone = Vec::new();
        for id in table.unlink(connection) {
            let alone = table.get_mut(id).filter(|instance| instance.connections.is_empty());
            gone.extend(alone.and_then(|instance| instance.disconnect(wall)));
        }
        gone
    }

    /// Forgets clients not heard of for `max(60 s, 3 × interval)`; call it about once a second.
    pub fn expire(&self, now: Instant, wall: SystemTime) -> Vec<Departed> {
        let mut expired = Vec::new();
        // The lock is let go in between: after a quiet time thousands may be due at once.
        while self.lock().table.take_expired(now, LOOKS_AT_ONCE, &mut expired) {}
        expired.into_iter().filter_map(|mut instance| instance.depart(GoneReason::Expired, wall)).collect()
    }

    /// Another configuration, from the next request of each client on.
    pub fn reconfigure(&self, config: Config) {
        let mut state = self.lock();
        state.version += 1;
        state.table.resize(config.capacity);
        state.answers = Answers::new(config);
    }

    /// How full the table is.
    pub fn counts(&self) -> Counts {
        let state = self.lock();
        Counts { instances: state.table.len(), evicted: state.table.evicted() }
    }

    /// The clients heard of last, at most `limit`, the latest first.
    pub fn clients(&self, limit: usize) -> Vec<Known> {
        self.lock().table.recent(limit).map(Instance::known).collect()
    }

    /// What is known of this client; `None` if it is unknown or forgotten.
    pub fn client(&self, id: InstanceId) -> Option<Known> {
        self.lock().table.get_mut(id).map(|instance| instance.known())
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
                Some(id) if self.table.get_mut(id).is_none() => return id,
                _ => {}
            }
        }
    }

    /// The client's state, found or made, with its TTL re-armed.
    fn touch(
        &mut self,
        client: &Arc<Client>,
        id: InstanceId,
        connection: ConnectionId,
        now: Instant,
        wall: SystemTime,
    ) -> &mut Instance {
        match self.table.get_mut(id) {
            Some(instance) if instance.version == self.version => {}
            Some(instance) => instance.renew(self.version, &mut self.answers),
            None => {
                let client = identified(client, id);
                self.table.insert(id, Instance::new(client, self.version, &mut self.answers, now, wall));
            }
        }
        self.table.touch(id, connection, now, wall)
    }
}

/// The client with the id that it goes by from now on.
fn identified(client: &Arc<Client>, id: InstanceId) -> Arc<Client> {
    if client.instance_id == Some(id) {
        client.clone()
    } else {
        Arc::new(Client { instance_id: Some(id), ..Client::clone(client) })
    }
}
