//! What is known of one client instance.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::answer::{Answer, Answers};
use super::pace::Pace;
use super::{Known, Refusal, SubscriptionRule, id};
use crate::push::ConnectionId;
use crate::push::{Client, Codec, Departed, GoneReason, InstanceId, Push};

/// One entry of the table.
pub(super) struct Instance {
    /// As first seen: subscriptions are matched against this, also when a later request comes from elsewhere.
    client: Arc<Client>,
    id: InstanceId,
    /// Of the configuration that `answer` comes from.
    pub(super) version: u64,
    pub(super) answer: Arc<Answer>,
    pub(super) subscription_id: i32,
    pub(super) interval: Duration,
    pace: Pace,
    /// A terminating push was admitted: no more pushes.
    pub(super) terminating: bool,
    /// Receivers were told that it is gone.
    gone: bool,
    since: SystemTime,
    /// Re-armed by every request.
    pub(super) expires: Instant,
    /// Under which the table's clock holds it; never later than `expires`.
    pub(super) alarm: Instant,
    /// Open ones, the oldest first.
    pub(super) connections: Vec<ConnectionId>,
}

impl Instance {
    pub(super) fn new(
        client: Arc<Client>,
        id: InstanceId,
        version: u64,
        answers: &mut Answers,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        let (answer, interval) = answers.answer(&client);
        let subscription_id = subscription_id(&answer, interval, answers, id);
        Self {
            client,
            id,
            version,
            answer,
            subscription_id,
            interval,
            pace: Pace::default(),
            terminating: false,
            gone: false,
            since: wall,
            expires: now + ttl(interval),
            alarm: now + ttl(interval),
            connections: Vec::new(),
        }
    }

    /// Begins anew under another configuration, so that the client is served at once.
    pub(super) fn renew(&mut self, version: u64, answers: &mut Answers) {
        let (answer, interval) = answers.answer(&self.client);
        self.subscription_id = subscription_id(&answer, interval, answers, self.id);
        (self.answer, self.interval, self.version) = (answer, interval, version);
        (self.pace, self.terminating) = (Pace::default(), false);
    }

    /// A request came.
    pub(super) fn arm(&mut self, now: Instant) {
        self.expires = now + ttl(self.interval);
        // It is back, unless it said that it goes.
        self.gone &= self.terminating;
    }

    pub(super) fn get(&mut self, now: Instant) -> Result<(), Refusal> {
        if self.pace.get(now, self.interval) { Ok(()) } else { Err(self.too_soon()) }
    }

    /// In Apache's order. A terminating push is never too soon, and only counts once nothing is wrong with it.
    pub(super) fn push(&mut self, push: &Push, now: Instant, max_wire: u32) -> Result<Codec, Refusal> {
        if self.terminating {
            return Err(Refusal::InvalidRequest("a push after a terminating one"));
        }
        if !self.pace.push(now, self.interval) && !push.terminating {
            return Err(self.too_soon());
        }
        self.known_subscription(push.subscription_id.unwrap_or_default())?;
        let codec = Codec::from_id(push.codec).ok_or_else(|| {
            self.pace.excuse();
            Refusal::UnsupportedCodec(push.codec)
        })?;
        within(push.wire.len(), max_wire)?;
        self.terminating = push.terminating;
        Ok(codec)
    }

    fn known_subscription(&mut self, given: i32) -> Result<(), Refusal> {
        if given == self.subscription_id {
            return Ok(());
        }
        self.pace.excuse();
        Err(Refusal::UnknownSubscription { given, current: self.subscription_id })
    }

    fn too_soon(&self) -> Refusal {
        Refusal::TooSoon { interval_ms: self.interval.as_millis() as u64 }
    }

    /// Its last connection is closed. Whoever comes back under this id may push again.
    pub(super) fn disconnect(&mut self, wall: SystemTime) -> Option<Departed> {
        self.pace.excuse();
        let said_so = std::mem::take(&mut self.terminating);
        self.depart(if said_so { GoneReason::Terminated } else { GoneReason::Disconnected }, wall)
    }

    /// Tells once that it is gone.
    pub(super) fn depart(&mut self, reason: GoneReason, at: SystemTime) -> Option<Departed> {
        let told = std::mem::replace(&mut self.gone, true);
        (!told).then(|| Departed { client: self.client.clone(), reason, at })
    }

    pub(super) fn is_matched_by(&self, rule: &SubscriptionRule) -> bool {
        rule.matches(&self.client)
    }

    /// Whether these answers would give it another subscription.
    pub(super) fn would_change(&self, answers: &mut Answers) -> bool {
        let (answer, interval) = answers.answer(&self.client);
        subscription_id(&answer, interval, answers, self.id) != self.subscription_id
    }

    pub(super) fn known(&self) -> Known {
        Known {
            client: self.client.clone(),
            since: self.since,
            subscription_id: self.subscription_id,
            push_interval: self.interval,
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

fn ttl(interval: Duration) -> Duration {
    (3 * interval).max(Duration::from_secs(60))
}

fn subscription_id(answer: &Answer, interval: Duration, answers: &Answers, id: InstanceId) -> i32 {
    let text = format!("{}{}{}", answer.text, interval.as_millis(), answers.extension);
    id::subscription_id(&text, id)
}
