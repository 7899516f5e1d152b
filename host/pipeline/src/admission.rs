//! Decides which client may push what, and when: client instances, subscriptions, rate rules (KIP-714).
//!
//! In: a request for a subscription, or a [`Push`]. Out: a subscription, or an [`Admitted`] that only this module
//! can create; otherwise a [`Refusal`]. Bounded: by the capacity and the TTL of the client table. Never: does I/O or
//! reads a clock; decisions are functions of state, input and the given time. It holds one lock for the length of a
//! table look-up, and matches no pattern under it.
//!
//! It differs from Apache Kafka's broker where that is known to be wrong. A terminating push that was refused, here or
//! by a later stage, does not lock its client out (KAFKA-20898). An accepted one locks out only the connection that it
//! came through, because ids are not secret. A GetTelemetrySubscriptions request that was allowed early after an error
//! counts like any other. A client that arrives a little early because the network was faster this time is not
//! throttled (see `rate_rule.rs`).

mod assignment;
mod client_lookup;
mod client_snapshot;
mod clock;
mod config;
mod connection_index;
mod evicted;
mod expiry_heap;
mod forecast;
mod id;
mod instance;
mod listing;
mod lru_list;
mod origin;
mod oversize;
mod quota;
mod quota_limiter;
mod rate_rule;
mod refusal;
mod reputation;
mod rule;
mod slab;
mod software;
mod source;
mod subscription;
mod table;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use crate::push::{Client, ConnectionId, DepartedClient, DepartureReason, Push};
use assignment::Assignments;
use barnabas_base::{Codec, InstanceId};
use clock::Clock;
use instance::ClientInstance;
use origin::Origins;
use quota::RequestCost;
use quota_limiter::QuotaLimiter;
use source::SourceKey;
use table::ClientTable;

pub use client_snapshot::ClientSnapshot;
pub use config::AdmissionConfig;
pub use forecast::Forecast;
pub use quota::{Quotas, Rates};
pub use refusal::Refusal;
pub use rule::{MatchKey, SubscriptionRule};
pub use software::{ClientRule, Wildcard};
pub use subscription::ClientSubscription;
pub use table::Evictions;

/// A push that may proceed to decode.
#[derive(Debug)]
pub struct Admitted {
    push: Push,
    codec: Codec,
}

impl Admitted {
    /// For protocols whose pushes need no subscription, or whose broker has admitted them already.
    pub fn declared(push: Push) -> Result<Self, Refusal> {
        let codec = Codec::from_id(push.codec).ok_or(Refusal::UnsupportedCodec(push.codec))?;
        Ok(Self { push, codec })
    }

    /// The push and its codec, without consuming it.
    pub(crate) fn parts(&self) -> (&Push, Codec) {
        (&self.push, self.codec)
    }

    /// For the next stage.
    pub(crate) fn into_parts(self) -> (Push, Codec) {
        (self.push, self.codec)
    }
}

/// Fills 16 random bytes.
type RandomBytes = Box<dyn FnMut() -> [u8; 16] + Send>;

/// The most clients that expire each time the lock is held.
const EXPIRY_BATCH: usize = 256;

/// The state of admission, shared by all threads.
pub struct Admission {
    state: Mutex<AdmissionState>,
}

struct AdmissionState {
    assignments: Arc<Assignments>,
    table: ClientTable,
    quotas: QuotaLimiter,
    origins: Origins,
    clock: Clock,
    random: RandomBytes,
}

/// How full the client table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientCounts {
    /// Known client instances.
    pub instances: usize,
    /// Evicted because the table was full.
    pub evicted: Evictions,
    /// Of the evicted, those that had a push admitted and were dropped before receivers were notified that they are
    /// gone.
    pub unreported: u64,
}

/// A request, as the rules see it.
struct AdmissionRequest<'a> {
    client: &'a Arc<Client>,
    connection: ConnectionId,
    now: u64,
    /// The subscription id that a push carries; a request for a subscription carries none.
    claimed_subscription: Option<i32>,
    /// Its source in the table.
    source: u32,
}

impl Admission {
    /// Without clients; ids are drawn from the operating system's random numbers.
    pub fn new(config: AdmissionConfig) -> Self {
        Self::with_random(config, || {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
            bytes
        })
    }

    /// As [`Admission::new`], with a source of randomness of the caller's choice.
    pub fn with_random(config: AdmissionConfig, random: impl FnMut() -> [u8; 16] + Send + 'static) -> Self {
        let state = AdmissionState {
            table: ClientTable::new(config.capacity),
            assignments: Arc::new(Assignments::new(config, 0)),
            quotas: QuotaLimiter::new(),
            origins: Origins::default(),
            clock: Clock::default(),
            random: Box::new(random),
        };
        Self { state: Mutex::new(state) }
    }

    /// Returns what this client is to push, and gives it an id if it has none.
    pub fn subscribe(
        &self,
        client: &Arc<Client>,
        connection: ConnectionId,
        now: Instant,
        wall: SystemTime,
    ) -> Result<ClientSubscription, Refusal> {
        let mut state = self.lock();
        let mut request = state.new_request(client, connection, now, wall);
        let claimed_id = client.instance_id.filter(|id| !id.is_reserved());
        let mut locked = self.resolve_client(state, &mut request, claimed_id, RequestCost::default())?;
        let assignments = locked.assignments();
        let (instance, config) = (locked.instance(), assignments.config());
        instance.admit_get()?;
        let (instance_id, id, assignment) = (instance.id, instance.subscription_id(), instance.assignment.clone());
        Ok(ClientSubscription {
            instance_id,
            id,
            codecs: Codec::OFFERED.to_vec(),
            push_interval: assignment.interval,
            max_bytes: config.max_wire_bytes,
            delta: config.delta,
            metrics: assignment.metrics.clone(),
        })
    }

    /// Checks a push against the quotas, then against its client's state, in the order of Apache Kafka's broker.
    pub fn admit(&self, mut push: Push, connection: ConnectionId, now: Instant) -> Result<Admitted, Refusal> {
        let id = match push.client.instance_id {
            Some(id) if !id.is_reserved() => id,
            _ => {
                return Err(Refusal::InvalidRequest("a push needs a client instance id; request a subscription first"));
            }
        };
        let mut state = self.lock();
        let client = push.client.clone();
        let mut request = state.new_request(&client, connection, now, push.received_at);
        request.claimed_subscription = Some(push.subscription_id.unwrap_or_default());
        let cost = RequestCost { pushes: 1, push_bytes: push.wire.len() as u64, ..RequestCost::default() };
        let mut locked = self.resolve_client(state, &mut request, Some(id), cost)?;
        let max_wire = locked.assignments().config().max_wire_bytes;
        let instance = locked.instance();
        let codec = instance.admit_push(&push, connection, max_wire)?;
        push.push_interval = Some(instance.assignment.interval);
        locked.mark_established();
        Ok(Admitted { push, codec })
    }

    /// Records that a later stage refused a push that was admitted here.
    pub fn record_refusal(&self, instance: InstanceId, refusal: &Refusal) {
        let mut state = self.lock();
        let number = state.table.find(instance);
        if let Some(instance) = number.and_then(|number| state.table.get_mut(number)) {
            instance.record_refusal(refusal);
        }
    }

    /// Whether API keys 71 and 72 are offered to a client of this software; they are not where telemetry harms it.
    pub fn offers_telemetry_to(&self, client: &Client) -> bool {
        let assignments = self.lock().assignments.clone();
        software::offers_telemetry(&assignments.config().clients, client)
    }

    /// To be called when a terminating push from this connection was accepted: the client may not push through it any
    /// more. Returns the departure, the first time only.
    pub fn terminated(
        &self,
        instance: InstanceId,
        connection: ConnectionId,
        wall: SystemTime,
    ) -> Option<DepartedClient> {
        self.depart(instance, |instance| instance.terminate(connection, wall))
    }

    /// As [`Admission::terminated`], when a later stage refused the push: the client is leaving but may push again.
    pub fn terminating_push_refused(&self, instance: InstanceId, wall: SystemTime) -> Option<DepartedClient> {
        self.depart(instance, |instance| instance.depart(DepartureReason::Terminated, wall))
    }

    fn depart(
        &self,
        instance: InstanceId,
        transition: impl FnOnce(&mut ClientInstance) -> Option<DepartedClient>,
    ) -> Option<DepartedClient> {
        let mut state = self.lock();
        let number = state.table.find(instance)?;
        transition(state.table.get_mut(number)?)
    }

    /// A connection was closed. A client may have several (Java opens a second one and closes the first): it is gone
    /// when its last one closes. Its rate rule is kept until the TTL, so that reconnecting does not bypass the rule; a
    /// client that comes back may request its subscription immediately, as librdkafka does.
    pub fn disconnected(&self, connection: ConnectionId, wall: SystemTime) -> Vec<DepartedClient> {
        let mut state = self.lock();
        state.quotas.connection_closed(connection);
        let mut gone = Vec::new();
        state.table.close_connection(connection, |instance| gone.extend(instance.disconnect(wall)));
        gone
    }

    /// Removes clients without a request for `max(60 s, 3 × interval)`, and returns them together with those that were
    /// evicted since, if a push of theirs was ever admitted. To be called about once a second.
    pub fn expire(&self, now: Instant, wall: SystemTime) -> Vec<DepartedClient> {
        let mut expired = Vec::new();
        // The lock is released in between: after a quiet time thousands may be due together.
        while self.lock().expire(now, &mut expired) {}
        expired.into_iter().filter_map(|mut instance| instance.depart(DepartureReason::Expired, wall)).collect()
    }

    /// Replaces the configuration; it takes effect with the next request of each client.
    pub fn reconfigure(&self, config: AdmissionConfig) {
        let mut state = self.lock();
        state.table.resize(config.capacity);
        let assignments = Arc::new(Assignments::new(config, state.assignments.version() + 1));
        let before = std::mem::replace(&mut state.assignments, assignments);
        drop(state);
        // A thousand compiled patterns must not be dropped under the lock.
        drop(before);
    }

    /// How full the client table is.
    pub fn counts(&self) -> ClientCounts {
        let state = self.lock();
        ClientCounts {
            instances: state.table.len(),
            evicted: state.table.evicted(),
            unreported: state.table.evicted_clients.dropped_count(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, AdmissionState> {
        // A panic leaves nothing half done here, so a poisoned lock is safe to use.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdmissionState {
    fn draw_id(&mut self) -> InstanceId {
        loop {
            match InstanceId::from_random((self.random)()) {
                Some(id) if self.table.find(id).is_none() => return id,
                _ => {}
            }
        }
    }

    fn new_request<'a>(
        &mut self,
        client: &'a Arc<Client>,
        connection: ConnectionId,
        now: Instant,
        wall: SystemTime,
    ) -> AdmissionRequest<'a> {
        let source = self.table.sources.get_or_insert(&SourceKey::for_client(client));
        AdmissionRequest {
            client,
            connection,
            now: self.clock.record_request(now, wall),
            claimed_subscription: None,
            source,
        }
    }

    fn expire(&mut self, now: Instant, expired: &mut Vec<ClientInstance>) -> bool {
        let now = self.clock.millis_at(now);
        // Both, in each iteration.
        let more = self.table.drain_expired(now, EXPIRY_BATCH, expired);
        self.table.evicted_clients.drain_into(EXPIRY_BATCH, expired) || more
    }
}
