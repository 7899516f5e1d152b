//! The real intake: admission, decode and dispatch in a row, on the thread of the door that calls; the last two of a
//! large push on a thread for blocking work.
//!
//! In: pushes and questions of doors. Out: answers by the rules, and the events that go with them. Holds no push beyond
//! the call but one that is given back as [`Large`], waits for nothing. With no slot open it still answers by the rules: a client never learns of our troubles.

mod clients;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::ingress_ledger::IngressAccounting;
use super::{DecodePermits, IngressLedger, Intake, LargePush, Receipt, StartedPush};
use crate::admission::{self, Admission, Admitted, ClientCounts, ClientSubscription, Refusal};
use crate::catalogue::Catalogue;
use crate::decode::{Decoded, Decoder, IdentityRule};
use crate::dispatch::Dispatch;
use crate::event::{EventData, Events, Topic};
use crate::push::{Client, ConnectionId, DepartedClient, DepartureReason, Ingress, Push};

/// Where every door's pushes come together. Shared by all doors of the host.
pub struct IntakePipeline {
    admission: Arc<Admission>,
    decoder: Decoder,
    dispatch: Dispatch,
    events: Events,
    accounting: IngressAccounting,
    identity: IdentityRule,
    catalogue: Catalogue,
    /// For large pushes of all doors.
    permits: DecodePermits,
}

impl IntakePipeline {
    /// Joins the three rooms.
    pub fn new(admission: Arc<Admission>, decoder: Decoder, dispatch: Dispatch, events: Events) -> Self {
        let (accounting, identity) = (IngressAccounting::default(), IdentityRule::default());
        let catalogue = Catalogue::new(admission::AdmissionConfig::default().capacity);
        Self {
            admission,
            decoder,
            dispatch,
            events,
            accounting,
            identity,
            catalogue,
            permits: DecodePermits::default(),
        }
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
    pub fn expire_clients(&self, now: Instant) {
        self.report_gone(self.admission.expire(now, SystemTime::now()));
        self.events.emit(Topic::ClientsCounted, || {
            let ClientCounts { instances, evicted, .. } = self.admission.counts();
            EventData::ClientsCounted { instances, evicted }
        });
    }

    /// The ledger at the door, at this moment.
    pub fn ledger(&self) -> IngressLedger {
        self.accounting.snapshot()
    }

    /// How many client instances are known, and how many were forgotten for want of room.
    pub fn counts(&self) -> ClientCounts {
        self.admission.counts()
    }

    /// One push on its way in; `admit` is what its door asks of admission, and `departed` what it tells when a
    /// terminating one passed that, taken in or refused by a later room.
    fn process(
        &self,
        push: Push,
        departed: impl Departure,
        admit: impl FnOnce(Push) -> Result<Admitted, Refusal>,
    ) -> Result<Receipt, Refusal> {
        let context = self.begin(&push);
        match admit(push) {
            Ok(admitted) => self.finish_admitted(self.decoder.decode(admitted), &context, departed),
            Err(refusal) => self.finish(Err(refusal), &context),
        }
    }

    /// Likewise, as far as it is done quickly.
    fn start(
        self: Arc<Self>,
        push: Push,
        departed: impl Departure,
        admit: impl FnOnce(&Self, Push) -> Result<Admitted, Refusal>,
    ) -> StartedPush {
        let context = self.begin(&push);
        let decoded = match admit(&self, push) {
            Ok(admitted) => self.decoder.decode_light(admitted),
            Err(refusal) => return StartedPush::Done(self.finish(Err(refusal), &context)),
        };
        match decoded {
            Ok(decoded) => StartedPush::Done(self.finish_admitted(decoded, &context, departed)),
            Err(heavy) => {
                let permits = self.permits.clone();
                let rest = move || self.finish_admitted(self.decoder.decode(heavy), &context, departed);
                StartedPush::Large(LargePush::new(&permits, rest))
            }
        }
    }

    fn begin(&self, push: &Push) -> PushContext {
        let (ingress, wire) = (push.ingress, push.wire.len());
        self.events.emit(Topic::PushReceived, || EventData::PushReceived { ingress, wire });
        PushContext {
            ingress,
            client: push.client.clone(),
            subscription: push.subscription_id,
            terminating: push.terminating,
            began: Instant::now(),
        }
    }

    /// Dispatches what was admitted and decoded, and tells what became of it.
    fn finish_admitted(
        &self,
        decoded: Result<Decoded, Refusal>,
        context: &PushContext,
        departed: impl Departure,
    ) -> Result<Receipt, Refusal> {
        let result = decoded.map(|decoded| self.dispatch_decoded(decoded, context));
        if let Err(refusal) = &result {
            self.record_refusal(&context.client, refusal);
        }
        let result = self.finish(result, context);
        // After the push itself, and also if its bytes were no good: the client means to go in either case.
        if context.terminating {
            self.report_gone(departed(self, &context.client, result.is_ok()));
        }
        result
    }

    fn finish(&self, result: Result<Receipt, Refusal>, context: &PushContext) -> Result<Receipt, Refusal> {
        self.accounting.record(&result);
        self.emit_result(&result, context);
        result
    }

    /// For whoever asks why a client is silent.
    fn record_refusal(&self, client: &Client, refusal: &Refusal) {
        if let Some(id) = client.instance_id {
            self.admission.record_refusal(id, refusal);
        }
    }

    fn dispatch_decoded(&self, decoded: Decoded, context: &PushContext) -> Receipt {
        let Decoded::Payload(mut payload) = decoded else { return Receipt::Empty };
        if context.ingress == Ingress::OtlpHttp {
            payload = payload.with_identity(&self.identity);
        }
        self.sample_metrics(&payload, context.subscription);
        let client = payload.client().clone();
        let (points, size, wire, repaired) =
            (payload.points(), payload.bytes().len(), payload.wire_len(), payload.repaired_strings());
        let receipt = self.dispatch.dispatch(payload);
        if let Receipt::Accepted(slots) = receipt {
            self.events.emit(Topic::PushAccepted, || EventData::PushAccepted {
                client,
                ingress: context.ingress,
                points,
                size,
                wire,
                slots,
                repaired,
                took: context.began.elapsed(),
            });
        }
        receipt
    }

    fn emit_result(&self, result: &Result<Receipt, Refusal>, context: &PushContext) {
        match result {
            Ok(Receipt::Empty) => self.events.emit(Topic::PushEmpty, || EventData::PushEmpty),
            Ok(Receipt::Unwanted) => self.events.emit(Topic::PushUnwanted, || EventData::PushUnwanted),
            // Told where the facts were known.
            Ok(Receipt::Accepted(_)) => {}
            Err(refusal) => self.emit_refusal(refusal, context.ingress, &context.client, false),
        }
    }

    fn emit_refusal(&self, refusal: &Refusal, ingress: Ingress, client: &Arc<Client>, subscribing: bool) {
        self.events.emit(Topic::PushRefused, || EventData::PushRefused {
            ingress,
            client: client.clone(),
            code: refusal.code(),
            reason: refusal.to_string(),
            subscribing,
        });
    }

    fn report_gone(&self, departed: impl IntoIterator<Item = DepartedClient>) {
        for departed in departed {
            let (client, reason) = (departed.client.clone(), departed.reason);
            if let (Some(id), DepartureReason::Expired) = (client.instance_id, reason) {
                // One that ended by itself stays in admission's table for a while, and is listed with what it was.
                self.catalogue.remove(id);
            }
            self.dispatch.notify_gone(departed);
            self.events.emit(Topic::ClientGone, || EventData::ClientGone { client, reason });
        }
    }
}

/// What the events of one push say of it.
struct PushContext {
    ingress: Ingress,
    client: Arc<Client>,
    subscription: Option<i32>,
    terminating: bool,
    began: Instant,
}

/// Who is gone with a terminating push, and whether that was taken.
trait Departure: FnOnce(&IntakePipeline, &Arc<Client>, bool) -> Option<DepartedClient> + Send + 'static {}

impl<T: FnOnce(&IntakePipeline, &Arc<Client>, bool) -> Option<DepartedClient> + Send + 'static> Departure for T {}

fn depart_subscribed(connection: ConnectionId) -> impl Departure {
    move |reception: &IntakePipeline, client: &Arc<Client>, accepted: bool| {
        let (id, now) = (client.instance_id?, SystemTime::now());
        // Only what was taken is the last: a push that was refused may be mended (KAFKA-20898).
        if accepted {
            reception.admission.terminated(id, connection, now)
        } else {
            reception.admission.terminating_push_refused(id, now)
        }
    }
}

fn depart_delivered(_: &IntakePipeline, client: &Arc<Client>, _: bool) -> Option<DepartedClient> {
    client.instance_id?;
    Some(DepartedClient { client: client.clone(), reason: DepartureReason::Terminated, at: SystemTime::now() })
}

impl Intake for IntakePipeline {
    fn offers_telemetry(&self) -> bool {
        self.dispatch.has_slots()
    }

    fn offers_telemetry_to(&self, client: &Client) -> bool {
        self.offers_telemetry() && self.admission.offers_telemetry_to(client)
    }

    fn subscribe(&self, client: &Arc<Client>, connection: ConnectionId) -> Result<ClientSubscription, Refusal> {
        let answer = self.admission.subscribe(client, connection, now(), SystemTime::now());
        match &answer {
            Ok(subscription) => {
                self.catalogue.record_subscription(subscription.instance_id, subscription.id);
                self.events.emit(Topic::SubscriptionAnswered, || answered_event(client, subscription));
            }
            // The one door with subscriptions.
            Err(refusal) => self.emit_refusal(refusal, Ingress::Kafka, client, true),
        }
        answer
    }

    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal> {
        self.process(push, depart_subscribed(connection), |push| self.admission.admit(push, connection, now()))
    }

    fn deliver(&self, push: Push) -> Result<Receipt, Refusal> {
        self.process(push, depart_delivered, Admitted::declared)
    }

    fn start_push(self: Arc<Self>, push: Push, connection: ConnectionId) -> StartedPush {
        self.start(push, depart_subscribed(connection), |pipeline, push| {
            pipeline.admission.admit(push, connection, now())
        })
    }

    fn start_delivery(self: Arc<Self>, push: Push) -> StartedPush {
        self.start(push, depart_delivered, |_, push| Admitted::declared(push))
    }

    fn record_refused(
        &self,
        ingress: Ingress,
        wire: usize,
        client: &Arc<Client>,
        connection: ConnectionId,
        refusal: Refusal,
    ) {
        self.events.emit(Topic::PushReceived, || EventData::PushReceived { ingress, wire });
        self.emit_refusal(&refusal, ingress, client, false);
        self.admission.charge_oversized_push(client, connection, wire, now(), SystemTime::now());
        self.accounting.record(&Err(refusal));
    }

    fn disconnected(&self, connection: ConnectionId) {
        self.report_gone(self.admission.disconnected(connection, SystemTime::now()));
    }
}

/// Tokio's, which tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// With the id that the client has from now on, where it had none.
fn answered_event(client: &Arc<Client>, subscription: &ClientSubscription) -> EventData {
    let client = match client.instance_id {
        Some(_) => client.clone(),
        None => Arc::new(Client { instance_id: Some(subscription.instance_id), ..Client::clone(client) }),
    };
    let ClientSubscription { id, push_interval: interval, metrics, .. } = subscription;
    EventData::SubscriptionAnswered { client, id: *id, prefixes: metrics.len(), interval: *interval }
}

#[cfg(test)]
mod tests;
