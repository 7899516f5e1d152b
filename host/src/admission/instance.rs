//! What is known of one client instance.
//!
//! There may be a hundred thousand, so times are milliseconds of the room's clock (see `clock.rs`) and what many have in
//! common is shared.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::answer::Answer;
use super::clock::Clock;
use super::links::Through;
use super::origin::Compact;
use super::pace::Pace;
use super::{Known, Refusal};
use crate::push::{Codec, ConnectionId, Departed, GoneReason, InstanceId, Push};

/// One entry of the table.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    /// As first seen: subscriptions are matched against this, also when a later request comes from elsewhere.
    client: Compact,
    pub(super) answer: Arc<Answer>,
    /// Re-armed by every request.
    pub(super) expires: u64,
    /// Its oldest open connection.
    pub(super) first: Through,
    pace: Pace,
    /// In seconds.
    since: u32,
    /// In seconds.
    refused_at: u32,
    gets: u32,
    pushes: u32,
    /// Let pass since its answer last changed.
    pushes_of_subscription: u32,
    refused: u32,
    /// Which of [`Refusal::CODES`], counted from one; 0 is none.
    last_refusal: u8,
    /// A push was let pass since the last answered Get.
    pushed: bool,
    /// Where a terminating push was taken: no more pushes through this connection. Ids are no secret and are bound to
    /// nothing, so a stranger's goodbye must not silence the client whose id it is.
    terminated_on: Through,
    /// Receivers were told that it is gone.
    gone: bool,
}

impl Instance {
    pub(super) fn new(id: InstanceId, client: Compact, answer: Arc<Answer>, now: u64) -> Self {
        Self {
            id,
            client,
            expires: now.saturating_add(ttl(answer.interval)),
            answer,
            first: Through::NONE,
            pace: Pace::default(),
            since: seconds(now),
            refused_at: 0,
            gets: 0,
            pushes: 0,
            pushes_of_subscription: 0,
            refused: 0,
            last_refusal: 0,
            pushed: false,
            terminated_on: Through::NONE,
            gone: false,
        }
    }

    /// A request came; `answer` is of another configuration. Under that it begins anew, so that it is served at once;
    /// but a change that makes no difference to this client does not disturb it.
    pub(super) fn touch(&mut self, now: u64, answer: Option<Arc<Answer>>) {
        self.pace.passed(now.saturating_sub(self.last_seen()));
        if let Some(answer) = answer {
            if !answer.says_the_same(&self.answer) {
                (self.pace, self.terminated_on) = (Pace::default(), Through::NONE);
                self.pushes_of_subscription = 0;
            }
            self.answer = answer;
        }
        self.expires = now.saturating_add(ttl(self.answer.interval));
        // It is back, unless it said that it goes.
        self.gone &= !self.terminated_on.is_none();
    }

    pub(super) fn get(&mut self) -> Result<(), Refusal> {
        self.gets = self.gets.saturating_add(1);
        if !self.pace.get(self.answer.interval) {
            let refusal = self.too_soon();
            self.note(&refusal);
            return Err(refusal);
        }
        self.pushed = false;
        Ok(())
    }

    /// A question or a push that was refused before this one's own rules were asked.
    pub(super) fn turned_away(&mut self, pushing: bool, refusal: &Refusal) {
        let count = if pushing { &mut self.pushes } else { &mut self.gets };
        *count = count.saturating_add(1);
        self.note(refusal);
    }

    /// In Apache's order. A terminating push is never too soon, and only counts once it was taken.
    pub(super) fn push(&mut self, push: &Push, connection: ConnectionId, max_wire: u32) -> Result<Codec, Refusal> {
        self.pushes = self.pushes.saturating_add(1);
        if self.terminated_on != Through::of(connection) && !self.terminated_on.is_none() {
            (self.terminated_on, self.gone) = (Through::NONE, false);
        }
        self.judge(push, max_wire).inspect_err(|refusal| self.note(refusal))
    }

    fn judge(&mut self, push: &Push, max_wire: u32) -> Result<Codec, Refusal> {
        if !self.terminated_on.is_none() {
            return Err(Refusal::InvalidRequest("a push after a terminating one"));
        }
        if !self.pace.push(self.answer.interval) && !push.terminating {
            return Err(self.too_soon());
        }
        self.known_subscription(push.subscription_id.unwrap_or_default())?;
        let codec = Codec::from_id(push.codec).ok_or_else(|| {
            self.pace.excuse();
            Refusal::UnsupportedCodec(push.codec)
        })?;
        within(push.wire.len(), max_wire)?;
        self.pushed = true;
        self.pushes_of_subscription = self.pushes_of_subscription.saturating_add(1);
        Ok(codec)
    }

    fn known_subscription(&mut self, given: i32) -> Result<(), Refusal> {
        let current = self.subscription_id();
        if given == current {
            return Ok(());
        }
        self.pace.excuse();
        Err(Refusal::UnknownSubscription { given, current })
    }

    /// Remembers what was refused, for whoever asks why a client is silent.
    pub(super) fn note(&mut self, refusal: &Refusal) {
        self.refused = self.refused.saturating_add(1);
        let code = Refusal::CODES.iter().position(|code| *code == refusal.code());
        self.last_refusal = code.map_or(0, |code| code as u8 + 1);
        self.refused_at = seconds(self.last_seen());
    }

    pub(super) fn subscription_id(&self) -> i32 {
        self.answer.subscription_id(self.id)
    }

    fn too_soon(&self) -> Refusal {
        Refusal::TooSoon { interval_ms: self.answer.interval.as_millis() as u64 }
    }

    /// Its last connection is closed. Whoever comes back under this id may push again.
    pub(super) fn disconnect(&mut self, wall: SystemTime) -> Option<Departed> {
        self.pace.excuse();
        let terminated_on = std::mem::replace(&mut self.terminated_on, Through::NONE);
        let reason = if terminated_on.is_none() { GoneReason::Disconnected } else { GoneReason::Terminated };
        self.depart(reason, wall)
    }

    /// Its terminating push through this connection was taken.
    pub(super) fn terminate(&mut self, connection: ConnectionId, wall: SystemTime) -> Option<Departed> {
        self.terminated_on = Through::of(connection);
        self.depart(GoneReason::Terminated, wall)
    }

    /// Tells once that it is gone.
    pub(super) fn depart(&mut self, reason: GoneReason, at: SystemTime) -> Option<Departed> {
        let told = std::mem::replace(&mut self.gone, true);
        (!told).then(|| Departed { client: Arc::new(self.client.client(self.id)), reason, at })
    }

    pub(super) fn client(&self) -> crate::push::Client {
        self.client.client(self.id)
    }

    /// Receivers were told.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(super) fn last_seen(&self) -> u64 {
        self.expires.saturating_sub(ttl(self.answer.interval))
    }

    pub(super) fn known(&self, connections: usize, clock: &Clock) -> Known {
        let code = usize::from(self.last_refusal).checked_sub(1).and_then(|code| Refusal::CODES.get(code));
        let at = |seconds: u32| clock.wall(u64::from(seconds) * 1_000);
        Known {
            client: Arc::new(self.client()),
            since: at(self.since),
            last_seen: clock.wall(self.last_seen()),
            subscription_id: self.subscription_id(),
            subscriptions: self.answer.names.clone(),
            metrics: self.answer.metrics.clone(),
            push_interval: self.answer.interval,
            connections,
            gets: self.gets,
            pushes: self.pushes,
            pushes_of_subscription: self.pushes_of_subscription,
            pushed: self.pushed,
            refused: self.refused,
            last_refusal: code.map(|code| (*code, at(self.refused_at))),
            gone: self.gone,
        }
    }
}

fn within(len: usize, max_wire: u32) -> Result<(), Refusal> {
    if len <= max_wire as usize {
        return Ok(());
    }
    Err(Refusal::TooLarge(format!("{len} bytes on the wire, {max_wire} are allowed; ask for fewer metrics")))
}

/// `max(60 s, 3 × interval)` (KIP-714), in milliseconds.
fn ttl(interval: Duration) -> u64 {
    u64::try_from((3 * interval).max(Duration::from_secs(60)).as_millis()).unwrap_or(u64::MAX)
}

fn seconds(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds / 1_000).unwrap_or(u32::MAX)
}
