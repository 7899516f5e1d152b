//! What is known of one client instance.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::answer::{Answer, Answers};
use super::pace::Pace;
use super::{Known, Refusal};
use crate::push::ConnectionId;
use crate::push::{Client, Codec, Departed, GoneReason, Push};

/// One entry of the table.
pub(super) struct Instance {
    /// As first seen: subscriptions are matched against this, also when a later request comes from elsewhere.
    client: Arc<Client>,
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
    last_seen: SystemTime,
    gets: u32,
    pushes: u32,
    refused: u32,
    last_refusal: Option<(&'static str, SystemTime)>,
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
        version: u64,
        answers: &mut Answers,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        let (answer, interval) = answers.answer(&client);
        let subscription_id = answers.subscription_id(&client);
        Self {
            client,
            version,
            answer,
            subscription_id,
            interval,
            pace: Pace::default(),
            terminating: false,
            gone: false,
            since: wall,
            last_seen: wall,
            gets: 0,
            pushes: 0,
            refused: 0,
            last_refusal: None,
            expires: now + ttl(interval),
            alarm: now + ttl(interval),
            connections: Vec::new(),
        }
    }

    /// Begins anew under another configuration, so that the client is served at once.
    pub(super) fn renew(&mut self, version: u64, answers: &mut Answers) {
        let (answer, interval) = answers.answer(&self.client);
        self.subscription_id = answers.subscription_id(&self.client);
        (self.answer, self.interval, self.version) = (answer, interval, version);
        (self.pace, self.terminating) = (Pace::default(), false);
    }

    /// A request came.
    pub(super) fn arm(&mut self, now: Instant, wall: SystemTime) {
        self.last_seen = wall;
        self.expires = now + ttl(self.interval);
        // It is back, unless it said that it goes.
        self.gone &= self.terminating;
    }

    pub(super) fn get(&mut self, now: Instant, wall: SystemTime) -> Result<(), Refusal> {
        self.gets = self.gets.saturating_add(1);
        let judged = if self.pace.get(now, self.interval) { Ok(()) } else { Err(self.too_soon()) };
        self.noted(judged, wall)
    }

    /// In Apache's order. A terminating push is never too soon, and only counts once nothing is wrong with it.
    pub(super) fn push(&mut self, push: &Push, now: Instant, max_wire: u32) -> Result<Codec, Refusal> {
        self.pushes = self.pushes.saturating_add(1);
        let judged = self.judge(push, now, max_wire);
        self.noted(judged, push.received_at)
    }

    /// Remembers what was refused, for whoever asks why a client is silent.
    fn noted<T>(&mut self, judged: Result<T, Refusal>, wall: SystemTime) -> Result<T, Refusal> {
        if let Err(refusal) = &judged {
            self.refused = self.refused.saturating_add(1);
            self.last_refusal = Some((refusal.code(), wall));
        }
        judged
    }

    fn judge(&mut self, push: &Push, now: Instant, max_wire: u32) -> Result<Codec, Refusal> {
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

    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }

    pub(super) fn known(&self) -> Known {
        Known {
            client: self.client.clone(),
            since: self.since,
            last_seen: self.last_seen,
            subscription_id: self.subscription_id,
            subscriptions: self.answer.names.clone(),
            metrics: self.answer.metrics.clone(),
            push_interval: self.interval,
            connections: self.connections.len(),
            gets: self.gets,
            pushes: self.pushes,
            refused: self.refused,
            last_refusal: self.last_refusal,
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
