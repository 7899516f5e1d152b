//! Runs admission, decode and dispatch in sequence, on the thread of the calling listener; the last two of a large push
//! on a thread for blocking work.
//!
//! In: pushes and requests of listeners. Out: results according to the rules, and the events that go with them. Never:
//! holds a push beyond the call, except one that is returned as [`LargePush`], or waits. Without an open slot it still
//! answers according to the rules: a client never notices problems of the host.

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

/// The pipeline that the pushes of all listeners go through.
pub struct IntakePipeline {
    admission: Arc<Admission>,
    decoder: Decoder,
    dispatch: Dispatch,
    events: Events,
    accounting: IngressAccounting,
    identity: IdentityRule,
    catalogue: Catalogue,
    /// For large pushes of all listeners.
    permits: DecodePermits,
}

impl IntakePipeline {
    /// Connects the three stages.
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

    /// Sets for how many clients metrics are remembered; best the capacity of admission.
    pub fn with_catalogue(self, catalogue: Catalogue) -> Self {
        Self { catalogue, ..self }
    }

    /// Sets which resource attributes identify the client of an OTLP push.
    pub fn with_identity(self, identity: IdentityRule) -> Self {
        Self { identity, ..self }
    }

    /// Expires clients without recent requests, and notifies the slots. The application calls it every second.
    pub fn expire_clients(&self, now: Instant) {
        self.report_gone(self.admission.expire(now, SystemTime::now()));
        self.events.emit(Topic::ClientsCounted, || {
            let ClientCounts { instances, evicted, .. } = self.admission.counts();
            EventData::ClientsCounted { instances, evicted }
        });
    }

    /// The ledger of all pushes received, at this moment.
    pub fn ledger(&self) -> IngressLedger {
        self.accounting.snapshot()
    }

    /// How many client instances are known, and how many were evicted.
    pub fn counts(&self) -> ClientCounts {
        self.admission.counts()
    }

    /// Processes one push. `admit` is its listener's admission; `departed` returns the departure of a terminating push
    /// that was admitted, whether a later stage accepted it or not.
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

    /// As `process`, as far as that is quick.
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

    /// Dispatches a push that was admitted and decoded, and emits its result.
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
        // After the push itself, and also if its bytes are invalid: the client is leaving in either case.
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

    /// So that an operator can find out why a client is silent.
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
            // Emitted where the facts were known.
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
                // A client that ended by itself stays in admission's table for a while, and is listed with its metrics.
                self.catalogue.remove(id);
            }
            self.dispatch.notify_gone(departed);
            self.events.emit(Topic::ClientGone, || EventData::ClientGone { client, reason });
        }
    }
}

/// What the events of one push need to know about it.
struct PushContext {
    ingress: Ingress,
    client: Arc<Client>,
    subscription: Option<i32>,
    terminating: bool,
    began: Instant,
}

/// Returns the departure of a terminating push, given whether it was accepted.
trait Departure: FnOnce(&IntakePipeline, &Arc<Client>, bool) -> Option<DepartedClient> + Send + 'static {}

impl<T: FnOnce(&IntakePipeline, &Arc<Client>, bool) -> Option<DepartedClient> + Send + 'static> Departure for T {}

fn depart_subscribed(connection: ConnectionId) -> impl Departure {
    move |reception: &IntakePipeline, client: &Arc<Client>, accepted: bool| {
        let (id, now) = (client.instance_id?, SystemTime::now());
        // Only an accepted push is the last: a client may correct one that was refused (KAFKA-20898).
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
            // Only the Kafka listener has subscriptions.
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

/// Tokio's clock, which tests can pause.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// With the new id of the client, if it had none.
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
