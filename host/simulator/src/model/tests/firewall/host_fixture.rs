//! A host without listeners: admission, decode and dispatch, with two receivers.

use std::sync::Arc;
use std::time::Duration;

use super::crowd::Observations;
use super::script::{HostSettings, ReceiverBehaviour};
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::{Admission, ClientRule, Quotas, Rates, SubscriptionRule};
use barnabas_pipeline::decode;
use barnabas_pipeline::decode::Decoder;
use barnabas_pipeline::dispatch::{Dispatch, Fault, LeaseHolder, Outcome, Slot, SlotConfig};
use barnabas_pipeline::event::Events;
use barnabas_pipeline::intake::{Intake, IntakePipeline};

/// Maximum decompressed size of a push.
pub(super) const MAX_DECODED: usize = 4 << 10;
const NAMES: [&str; 2] = ["one", "two"];

/// Wraps the intake that clients are connected to.
pub(super) type WrapIntake = fn(Arc<IntakePipeline>, &Dispatch) -> Arc<dyn Intake>;

pub(super) struct HostFixture {
    wrap_intake: WrapIntake,
    admission: Arc<Admission>,
    dispatch: Dispatch,
    pub(super) reception: Arc<IntakePipeline>,
    pub(super) intake: Arc<dyn Intake>,
    receivers: Vec<(Slot, LeaseHolder)>,
    settings: HostSettings,
    pub(super) behaviour: ReceiverBehaviour,
    tiny: bool,
    serving: bool,
}

impl HostFixture {
    pub(super) fn new(build: WrapIntake) -> Self {
        let (given_subscription, mood) = (HostSettings::default(), ReceiverBehaviour::Accept);
        let (admission, dispatch, reception) = build_host(given_subscription);
        let intake = build(reception.clone(), &dispatch);
        let (receivers, tiny, serving) = (Vec::new(), false, true);
        let mut rooms = Self {
            wrap_intake: build,
            admission,
            dispatch,
            reception,
            intake,
            receivers,
            settings: given_subscription,
            behaviour: mood,
            tiny,
            serving,
        };
        rooms.add_all();
        rooms
    }

    /// Replaces the host by a new one with the same settings.
    pub(super) fn restart(&mut self) {
        self.check();
        self.dispatch.close_all();
        (self.admission, self.dispatch, self.reception) = build_host(self.settings);
        self.intake = (self.wrap_intake)(self.reception.clone(), &self.dispatch);
        let open: Vec<_> = self.receivers.drain(..).map(|(slot, _)| slot.name().clone()).collect();
        open.iter().for_each(|name| self.add(name));
    }

    pub(super) fn reconfigure(&mut self, given_subscription: HostSettings) {
        self.settings = given_subscription;
        self.admission.reconfigure(admission_config(given_subscription));
    }

    pub(super) fn resize(&mut self, tiny: bool) {
        self.tiny = tiny;
        self.receivers.iter().for_each(|(slot, _)| slot.reconfigure(queue(tiny)));
    }

    pub(super) fn serve(&mut self, serving: bool) {
        self.serving = serving;
        self.receivers.iter().for_each(|(slot, _)| slot.set_serving(serving));
    }

    pub(super) fn add_all(&mut self) {
        NAMES.iter().for_each(|name| self.add(name));
    }

    fn add(&mut self, name: &str) {
        let Ok(slot) = self.dispatch.open(name, queue(self.tiny)) else { return };
        slot.set_serving(self.serving);
        let holder = slot.holder(1, 1);
        self.receivers.push((slot, holder));
    }

    pub(super) fn remove_one(&mut self) {
        if self.receivers.len() == NAMES.len() {
            self.remove();
        }
    }

    pub(super) fn remove_all(&mut self) {
        while !self.receivers.is_empty() {
            self.remove();
        }
    }

    fn remove(&mut self) {
        let Some((slot, _)) = self.receivers.pop() else { return };
        let closed = self.dispatch.close(slot.name()).expect("the slot is open");
        assert!(closed.ledger().is_balanced());
    }

    /// Receivers process the available batches according to their behaviour.
    pub(super) async fn process_batches(&self) {
        if self.behaviour == ReceiverBehaviour::Sleep {
            return;
        }
        for (slot, holder) in &self.receivers {
            // Polls once and does not wait, because waiting would advance the paused clock.
            while let Some(batch) = tokio::select! {
                biased;
                batch = slot.lease(holder) => batch,
                () = std::future::ready(()) => None,
            } {
                batch.settle(outcome(self.behaviour));
                if self.behaviour == ReceiverBehaviour::Fail {
                    slot.set_serving(false);
                    break;
                }
            }
        }
    }

    pub(super) fn observations(&self) -> Observations {
        let ledgers: Vec<_> = self.receivers.iter().map(|(slot, _)| slot.ledger()).collect();
        Observations {
            shed: ledgers.iter().any(|ledger| !ledger.shed.is_empty()),
            dropped: ledgers.iter().any(|ledger| !ledger.dropped.is_empty()),
            unwanted: self.reception.ledger().unwanted > 0,
            evicted: self.admission.counts().evicted != admission::Evictions::default(),
            ..Observations::default()
        }
    }

    /// Checks that every push is in exactly one term, at the ingress and in each slot.
    pub(super) fn check(&self) {
        assert!(self.reception.ledger().is_balanced());
        assert!(self.receivers.iter().all(|(slot, _)| slot.ledger().is_balanced()));
    }
}

fn build_host(given_subscription: HostSettings) -> (Arc<Admission>, Dispatch, Arc<IntakePipeline>) {
    let events = Events::new();
    let dispatch = Dispatch::new(events.clone());
    let admission = Arc::new(Admission::new(admission_config(given_subscription)));
    let decoder = Decoder::new(decode::DecodeConfig { max_output: MAX_DECODED, ..decode::DecodeConfig::default() });
    let reception = Arc::new(IntakePipeline::new(admission.clone(), decoder, dispatch.clone(), events));
    (admission, dispatch, reception)
}

fn admission_config(given_subscription: HostSettings) -> admission::AdmissionConfig {
    let metrics = given_subscription.metrics.iter().map(|prefix| (*prefix).to_owned()).collect();
    let only = given_subscription.only.map(|software| ("client_software_name".to_owned(), software.to_owned()));
    let rule = SubscriptionRule::new("all", metrics, Some(given_subscription.interval_s * 1_000), only.as_slice())
        .expect("sound");
    let wildcard = |(software, wildcard)| ClientRule::new(Some(software), None, true, Some(wildcard)).expect("sound");
    let (few, none) = (Rates { new_clients: 10, pushes: 30, push_bytes: None }, Quotas::default());
    let one = Rates { new_clients: 1, pushes: 4, push_bytes: None };
    admission::AdmissionConfig {
        subscriptions: vec![rule],
        clients: given_subscription.wildcard.map(wildcard).into_iter().collect(),
        quotas: if given_subscription.tight { Quotas { connection: one, source: few, ..none } } else { none },
        delta: given_subscription.delta,
        max_wire_bytes: given_subscription.max_wire,
        capacity: given_subscription.capacity,
        all_as_empty_prefix: given_subscription.all_as_empty_prefix,
        ..admission::AdmissionConfig::default()
    }
}

fn queue(tiny: bool) -> SlotConfig {
    let max_pushes = if tiny { 2 } else { 100_000 };
    SlotConfig { lanes: 4, max_pushes, linger: Duration::ZERO, ..SlotConfig::default() }
}

fn outcome(mood: ReceiverBehaviour) -> Outcome {
    match mood {
        ReceiverBehaviour::Accept | ReceiverBehaviour::Sleep => Outcome::Taken,
        ReceiverBehaviour::Refuse => Outcome::Unavailable { retry_after: None, reason: "the sink is down".into() },
        ReceiverBehaviour::Trap | ReceiverBehaviour::Fail => Outcome::Faulted(Fault::Trap, "unreachable".into()),
    }
}
