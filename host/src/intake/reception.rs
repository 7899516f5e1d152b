//! The real intake: admission, decode and dispatch in a row, on the thread of the door that calls; the last two of a
//! large push on a thread for blocking work.
//!
//! In: pushes and questions of doors. Out: answers by the rules, and the events that go with them. Holds no push beyond
//! the call but one that is given back as [`Large`], waits for nothing. With no slot open it still answers by the rules: a client never learns of our troubles.

mod clients;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::door::DoorBook;
use super::{DoorLedger, Intake, Large, Receipt, Started, Turns};
use crate::admission::{self, Admission, Admitted, Counts, Refusal, Subscription};
use crate::catalogue::Catalogue;
use crate::decode::{Decoded, Decoder, IdentityRule};
use crate::dispatch::Dispatch;
use crate::event::{Events, Payload, Topic};
use crate::push::{Client, ConnectionId, Departed, GoneReason, Push, WayIn};

/// Where every door's pushes come together. Shared by all doors of the host.
pub struct Reception {
    admission: Arc<Admission>,
    decoder: Decoder,
    dispatch: Dispatch,
    events: Events,
    book: DoorBook,
    identity: IdentityRule,
    catalogue: Catalogue,
    /// For large pushes of all doors.
    turns: Turns,
}

impl Reception {
    /// Joins the three rooms.
    pub fn new(admission: Arc<Admission>, decoder: Decoder, dispatch: Dispatch, events: Events) -> Self {
        let (book, identity) = (DoorBook::default(), IdentityRule::default());
        let catalogue = Catalogue::new(admission::Config::default().capacity);
        Self { admission, decoder, dispatch, events, book, identity, catalogue, turns: Turns::default() }
    }

    /// Says how many clients' metrics are remembered; best as many as admission knows.
    pub fn with_catalogue(self, catalogue: Catalogue) -> Self {
        Self { catalogue, ..self }
    }

    /// Says which resource attributes name the client of an OTLP push.
    pub fn with_identity(self, identity: IdentityRule) -> Self {
        Self { identity, ..self }
    }

    /// Forgets clients that were not heard of for too long, and tells the slots. The application calls it every second.
    pub fn sweep(&self, now: Instant) {
        self.tell_gone(self.admission.expire(now, SystemTime::now()));
        self.events.emit(Topic::ClientsCounted, || {
            let Counts { instances, evicted, .. } = self.admission.counts();
            Payload::ClientsCounted { instances, evicted }
        });
    }

    /// The ledger at the door, at this moment.
    pub fn ledger(&self) -> DoorLedger {
        self.book.snapshot()
    }

    /// How many client instances are known, and how many were forgotten for want of room.
    pub fn counts(&self) -> Counts {
        self.admission.counts()
    }

    /// One push on its way in; `admit` is what its door asks of admission, and `departed` what it tells when a
    /// terminating one passed that, taken in or refused by a later room.
    fn receive(
        &self,
        push: Push,
        departed: impl Departing,
        admit: impl FnOnce(Push) -> Result<Admitted, Refusal>,
    ) -> Result<Receipt, Refusal> {
        let told = self.begin(&push);
        match admit(push) {
            Ok(admitted) => self.end_admitted(self.decoder.decode(admitted), &told, departed),
            Err(refusal) => self.end(Err(refusal), &told),
        }
    }

    /// Likewise, as far as it is done quickly.
    fn start(
        self: Arc<Self>,
        push: Push,
        departed: impl Departing,
        admit: impl FnOnce(&Self, Push) -> Result<Admitted, Refusal>,
    ) -> Started {
        let told = self.begin(&push);
        let decoded = match admit(&self, push) {
            Ok(admitted) => self.decoder.decode_light(admitted),
            Err(refusal) => return Started::Done(self.end(Err(refusal), &told)),
        };
        match decoded {
            Ok(decoded) => Started::Done(self.end_admitted(decoded, &told, departed)),
            Err(heavy) => {
                let turns = self.turns.clone();
                let rest = move || self.end_admitted(self.decoder.decode(heavy), &told, departed);
                Started::Large(Large::new(&turns, rest))
            }
        }
    }

    fn begin(&self, push: &Push) -> Told {
        let (way_in, wire) = (push.way_in, push.wire.len());
        self.events.emit(Topic::PushReceived, || Payload::PushReceived { way_in, wire });
        Told {
            way_in,
            client: push.client.clone(),
            subscription: push.subscription_id,
            terminating: push.terminating,
            began: Instant::now(),
        }
    }

    /// Dispatches what was admitted and decoded, and tells what became of it.
    fn end_admitted(
        &self,
        decoded: Result<Decoded, Refusal>,
        told: &Told,
        departed: impl Departing,
    ) -> Result<Receipt, Refusal> {
        let result = decoded.map(|decoded| self.take_in(decoded, told));
        if let Err(refusal) = &result {
            self.note(&told.client, refusal);
        }
        let result = self.end(result, told);
        // After the push itself, and also if its bytes were no good: the client means to go in either case.
        if told.terminating {
            self.tell_gone(departed(self, &told.client, result.is_ok()));
        }
        result
    }

    fn end(&self, result: Result<Receipt, Refusal>, told: &Told) -> Result<Receipt, Refusal> {
        self.book.enter(&result);
        self.tell_result(&result, told);
        result
    }

    /// For whoever asks why a client is silent.
    fn note(&self, client: &Client, refusal: &Refusal) {
        if let Some(id) = client.instance_id {
            self.admission.refused(id, refusal);
        }
    }

    fn take_in(&self, decoded: Decoded, told: &Told) -> Receipt {
        let Decoded::Payload(mut payload) = decoded else { return Receipt::Empty };
        if told.way_in == WayIn::OtlpHttp {
            payload = payload.identified(&self.identity);
        }
        self.look_at(&payload, told.subscription);
        let client = payload.client().clone();
        let (points, size, wire, repaired) =
            (payload.points(), payload.bytes().len(), payload.wire_len(), payload.repaired());
        let receipt = self.dispatch.dispatch(payload);
        if let Receipt::Accepted(slots) = receipt {
            self.events.emit(Topic::PushAccepted, || Payload::PushAccepted {
                client,
                way_in: told.way_in,
                points,
                size,
                wire,
                slots,
                repaired,
                took: told.began.elapsed(),
            });
        }
        receipt
    }

    fn tell_result(&self, result: &Result<Receipt, Refusal>, told: &Told) {
        match result {
            Ok(Receipt::Empty) => self.events.emit(Topic::PushEmpty, || Payload::PushEmpty),
            Ok(Receipt::Unwanted) => self.events.emit(Topic::PushUnwanted, || Payload::PushUnwanted),
            // Told where the facts were known.
            Ok(Receipt::Accepted(_)) => {}
            Err(refusal) => self.tell_refusal(refusal, told.way_in, &told.client, false),
        }
    }

    fn tell_refusal(&self, refusal: &Refusal, way_in: WayIn, client: &Arc<Client>, subscribing: bool) {
        self.events.emit(Topic::PushRefused, || Payload::PushRefused {
            way_in,
            client: client.clone(),
            code: refusal.code(),
            reason: refusal.to_string(),
            subscribing,
        });
    }

    fn tell_gone(&self, departed: impl IntoIterator<Item = Departed>) {
        for departed in departed {
            let (client, reason) = (departed.client.clone(), departed.reason);
            if let (Some(id), GoneReason::Expired) = (client.instance_id, reason) {
                // One that ended by itself stays in admission's table for a while, and is listed with what it was.
                self.catalogue.forget(id);
            }
            self.dispatch.gone(departed);
            self.events.emit(Topic::ClientGone, || Payload::ClientGone { client, reason });
        }
    }
}

/// What the events of one push say of it.
struct Told {
    way_in: WayIn,
    client: Arc<Client>,
    subscription: Option<i32>,
    terminating: bool,
    began: Instant,
}

/// Who is gone with a terminating push, and whether that was taken.
trait Departing: FnOnce(&Reception, &Arc<Client>, bool) -> Option<Departed> + Send + 'static {}

impl<T: FnOnce(&Reception, &Arc<Client>, bool) -> Option<Departed> + Send + 'static> Departing for T {}

fn left_subscription(connection: ConnectionId) -> impl Departing {
    move |reception: &Reception, client: &Arc<Client>, taken: bool| {
        let (id, now) = (client.instance_id?, SystemTime::now());
        // Only what was taken is the last: a push that was refused may be mended (KAFKA-20898).
        if taken { reception.admission.terminated(id, connection, now) } else { reception.admission.left(id, now) }
    }
}

fn left_delivery(_: &Reception, client: &Arc<Client>, _: bool) -> Option<Departed> {
    client.instance_id?;
    Some(Departed { client: client.clone(), reason: GoneReason::Terminated, at: SystemTime::now() })
}

impl Intake for Reception {
    fn offers_telemetry(&self) -> bool {
        self.dispatch.offers()
    }

    fn offers_telemetry_to(&self, client: &Client) -> bool {
        self.offers_telemetry() && self.admission.offers_telemetry_to(client)
    }

    fn subscribe(&self, client: &Arc<Client>, connection: ConnectionId) -> Result<Subscription, Refusal> {
        let answer = self.admission.subscribe(client, connection, now(), SystemTime::now());
        match &answer {
            Ok(subscription) => {
                self.catalogue.asked(subscription.instance_id, subscription.id);
                self.events.emit(Topic::SubscriptionAnswered, || answered(client, subscription));
            }
            // The one door with subscriptions.
            Err(refusal) => self.tell_refusal(refusal, WayIn::Kafka, client, true),
        }
        answer
    }

    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal> {
        self.receive(push, left_subscription(connection), |push| self.admission.admit(push, connection, now()))
    }

    fn deliver(&self, push: Push) -> Result<Receipt, Refusal> {
        self.receive(push, left_delivery, Admitted::declared)
    }

    fn start_push(self: Arc<Self>, push: Push, connection: ConnectionId) -> Started {
        self.start(push, left_subscription(connection), |this, push| this.admission.admit(push, connection, now()))
    }

    fn start_delivery(self: Arc<Self>, push: Push) -> Started {
        self.start(push, left_delivery, |_, push| Admitted::declared(push))
    }

    fn refused(&self, way_in: WayIn, wire: usize, client: &Arc<Client>, connection: ConnectionId, refusal: Refusal) {
        self.events.emit(Topic::PushReceived, || Payload::PushReceived { way_in, wire });
        self.tell_refusal(&refusal, way_in, client, false);
        self.admission.too_large(client, connection, wire, now(), SystemTime::now());
        self.book.enter(&Err(refusal));
    }

    fn disconnected(&self, connection: ConnectionId) {
        self.tell_gone(self.admission.disconnected(connection, SystemTime::now()));
    }
}

/// Tokio's, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// With the id that the client has from now on, where it had none.
fn answered(client: &Arc<Client>, subscription: &Subscription) -> Payload {
    let client = match client.instance_id {
        Some(_) => client.clone(),
        None => Arc::new(Client { instance_id: Some(subscription.instance_id), ..Client::clone(client) }),
    };
    let Subscription { id, push_interval: interval, metrics, .. } = subscription;
    Payload::SubscriptionAnswered { client, id: *id, prefixes: metrics.len(), interval: *interval }
}

#[cfg(test)]
mod tests;
