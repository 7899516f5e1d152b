//! The state of one client instance.
//!
//! There may be a hundred thousand, so times are milliseconds of admission's clock (see `clock.rs`), and what many of
//! them have in common is shared.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::assignment::Assignment;
use super::clock::Clock;
use super::connection_index::OptionalConnection;
use super::origin::CompactClient;
use super::rate_rule::RateRule;
use super::{ClientSnapshot, Refusal};
use crate::push::{ConnectionId, DepartedClient, DepartureReason, Push};
use barnabas_base::{Codec, InstanceId};

/// One entry of the client table.
#[derive(Debug)]
pub(super) struct ClientInstance {
    pub(super) id: InstanceId,
    /// As first seen: subscriptions are matched against this, even when a later request comes from elsewhere.
    client: CompactClient,
    pub(super) assignment: Arc<Assignment>,
    /// Renewed by every request.
    pub(super) expires: u64,
    /// The oldest open connection.
    pub(super) oldest_connection: OptionalConnection,
    rate: RateRule,
    /// In seconds.
    first_seen: u32,
    /// In seconds.
    refused_at: u32,
    gets: u32,
    pushes: u32,
    /// Admitted since its assignment last changed.
    pushes_of_subscription: u32,
    refused: u32,
    /// Index into [`Refusal::CODES`], counted from one; 0 is none.
    last_refusal: u8,
    /// A push was admitted since the last answered GetTelemetrySubscriptions.
    pushed_since_get: bool,
    /// The connection of an accepted terminating push, through which no more pushes are admitted. Ids are neither
    /// secret nor bound to a connection, so a terminating push of another sender must not silence the client that has
    /// the id.
    terminated_on: OptionalConnection,
    /// Receivers were notified that it is gone.
    gone_reported: bool,
}

impl ClientInstance {
    pub(super) fn new(id: InstanceId, client: CompactClient, assignment: Arc<Assignment>, now: u64) -> Self {
        Self {
            id,
            client,
            expires: now.saturating_add(ttl(assignment.interval)),
            assignment,
            oldest_connection: OptionalConnection::NONE,
            rate: RateRule::default(),
            first_seen: seconds(now),
            refused_at: 0,
            gets: 0,
            pushes: 0,
            pushes_of_subscription: 0,
            refused: 0,
            last_refusal: 0,
            pushed_since_get: false,
            terminated_on: OptionalConnection::NONE,
            gone_reported: false,
        }
    }

    /// Applies a request; `assignment` is set if it comes from another configuration. Then the client starts over, so
    /// that its next requests are allowed immediately; but a change that makes no difference to this client does not
    /// reset it.
    pub(super) fn apply_request(&mut self, now: u64, assignment: Option<Arc<Assignment>>) {
        self.rate.advance(now.saturating_sub(self.last_seen()));
        if let Some(assignment) = assignment {
            if !assignment.is_same_for_client(&self.assignment) {
                (self.rate, self.terminated_on) = (RateRule::default(), OptionalConnection::NONE);
                self.pushes_of_subscription = 0;
            }
            self.assignment = assignment;
        }
        self.expires = now.saturating_add(ttl(self.assignment.interval));
        // It is back, unless it announced its end.
        self.gone_reported &= !self.terminated_on.is_none();
    }

    pub(super) fn admit_get(&mut self) -> Result<(), Refusal> {
        self.gets = self.gets.saturating_add(1);
        if !self.rate.allow_get(self.assignment.interval) {
            let refusal = self.too_soon();
            self.record_refusal(&refusal);
            return Err(refusal);
        }
        self.pushed_since_get = false;
        Ok(())
    }

    /// A request that was refused before the rules of this instance were checked.
    pub(super) fn record_early_refusal(&mut self, pushing: bool, refusal: &Refusal) {
        let count = if pushing { &mut self.pushes } else { &mut self.gets };
        *count = count.saturating_add(1);
        self.record_refusal(refusal);
    }

    /// In Apache Kafka's order. A terminating push is never too early, and only counts once it was accepted.
    pub(super) fn admit_push(
        &mut self,
        push: &Push,
        connection: ConnectionId,
        max_wire: u32,
    ) -> Result<Codec, Refusal> {
        self.pushes = self.pushes.saturating_add(1);
        if self.terminated_on != OptionalConnection::new(connection) && !self.terminated_on.is_none() {
            (self.terminated_on, self.gone_reported) = (OptionalConnection::NONE, false);
        }
        self.check_push(push, max_wire).inspect_err(|refusal| self.record_refusal(refusal))
    }

    fn check_push(&mut self, push: &Push, max_wire: u32) -> Result<Codec, Refusal> {
        if !self.terminated_on.is_none() {
            return Err(Refusal::InvalidRequest("a push after a terminating push"));
        }
        if !self.rate.allow_push(self.assignment.interval) && !push.terminating {
            return Err(self.too_soon());
        }
        self.check_subscription(push.subscription_id.unwrap_or_default())?;
        let codec = Codec::from_id(push.codec).ok_or_else(|| {
            self.rate.allow_early_get();
            Refusal::UnsupportedCodec(push.codec)
        })?;
        check_wire_size(push.wire.len(), max_wire)?;
        self.pushed_since_get = true;
        self.pushes_of_subscription = self.pushes_of_subscription.saturating_add(1);
        Ok(codec)
    }

    fn check_subscription(&mut self, given: i32) -> Result<(), Refusal> {
        let current = self.subscription_id();
        if given == current {
            return Ok(());
        }
        self.rate.allow_early_get();
        Err(Refusal::UnknownSubscription { given, current })
    }

    /// Records a refusal, so that an operator can find out why a client is silent.
    pub(super) fn record_refusal(&mut self, refusal: &Refusal) {
        self.refused = self.refused.saturating_add(1);
        let code = Refusal::CODES.iter().position(|code| *code == refusal.code());
        self.last_refusal = code.map_or(0, |code| code as u8 + 1);
        self.refused_at = seconds(self.last_seen());
    }

    pub(super) fn subscription_id(&self) -> i32 {
        self.assignment.subscription_id(self.id)
    }

    fn too_soon(&self) -> Refusal {
        Refusal::TooSoon { interval_ms: self.assignment.interval.as_millis() as u64 }
    }

    /// Its last connection was closed. A client that returns with this id may push again.
    pub(super) fn disconnect(&mut self, wall: SystemTime) -> Option<DepartedClient> {
        self.rate.allow_early_get();
        let terminated_on = std::mem::replace(&mut self.terminated_on, OptionalConnection::NONE);
        let reason = if terminated_on.is_none() { DepartureReason::Disconnected } else { DepartureReason::Terminated };
        self.depart(reason, wall)
    }

    /// Its terminating push through this connection was accepted.
    pub(super) fn terminate(&mut self, connection: ConnectionId, wall: SystemTime) -> Option<DepartedClient> {
        self.terminated_on = OptionalConnection::new(connection);
        self.depart(DepartureReason::Terminated, wall)
    }

    /// Returns the departure, the first time only.
    pub(super) fn depart(&mut self, reason: DepartureReason, at: SystemTime) -> Option<DepartedClient> {
        let already_reported = std::mem::replace(&mut self.gone_reported, true);
        (!already_reported).then(|| DepartedClient { client: Arc::new(self.client.client(self.id)), reason, at })
    }

    pub(super) fn client(&self) -> crate::push::Client {
        self.client.client(self.id)
    }

    /// Receivers were notified.
    pub(super) fn is_gone_reported(&self) -> bool {
        self.gone_reported
    }

    pub(super) fn last_seen(&self) -> u64 {
        self.expires.saturating_sub(ttl(self.assignment.interval))
    }

    pub(super) fn snapshot(&self, connections: usize, clock: &Clock) -> ClientSnapshot {
        let code = usize::from(self.last_refusal).checked_sub(1).and_then(|code| Refusal::CODES.get(code));
        let at = |seconds: u32| clock.wall_time(u64::from(seconds) * 1_000);
        ClientSnapshot {
            client: Arc::new(self.client()),
            first_seen: at(self.first_seen),
            last_seen: clock.wall_time(self.last_seen()),
            subscription_id: self.subscription_id(),
            subscriptions: self.assignment.names.clone(),
            metrics: self.assignment.metrics.clone(),
            push_interval: self.assignment.interval,
            connections,
            gets: self.gets,
            pushes: self.pushes,
            pushes_of_subscription: self.pushes_of_subscription,
            pushed_since_get: self.pushed_since_get,
            refused: self.refused,
            last_refusal: code.map(|code| (*code, at(self.refused_at))),
            gone: self.gone_reported,
        }
    }
}

fn check_wire_size(len: usize, max_wire: u32) -> Result<(), Refusal> {
    if len <= max_wire as usize {
        return Ok(());
    }
    Err(Refusal::TooLarge(format!("{len} bytes on the wire, {max_wire} are allowed; request fewer metrics")))
}

/// `max(60 s, 3 × interval)` (KIP-714), in milliseconds.
fn ttl(interval: Duration) -> u64 {
    u64::try_from((3 * interval).max(Duration::from_secs(60)).as_millis()).unwrap_or(u64::MAX)
}

fn seconds(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds / 1_000).unwrap_or(u32::MAX)
}
