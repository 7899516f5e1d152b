//! A host without doors: admission, decode and dispatch, with two receivers.

use std::sync::Arc;
use std::time::Duration;

use super::crowd::Seen;
use super::script::{Mood, Told};
use crate::admission::{self, Admission, ClientRule, Quotas, Rates, SubscriptionRule};
use crate::decode::{self, Decoder};
use crate::dispatch::{Dispatch, Fault, LeaseHolder, Outcome, Slot, SlotConfig};
use crate::event::Events;
use crate::intake::{Intake, IntakePipeline};

/// Decompressed bytes beyond which a push is refused.
pub(super) const MOST: usize = 4 << 10;
const NAMES: [&str; 2] = ["one", "two"];

/// What doors are given to talk to.
pub(super) type Build = fn(Arc<IntakePipeline>, &Dispatch) -> Arc<dyn Intake>;

pub(super) struct Rooms {
    build: Build,
    admission: Arc<Admission>,
    dispatch: Dispatch,
    pub(super) reception: Arc<IntakePipeline>,
    pub(super) intake: Arc<dyn Intake>,
    receivers: Vec<(Slot, LeaseHolder)>,
    told: Told,
    pub(super) mood: Mood,
    tiny: bool,
    serving: bool,
}

impl Rooms {
    pub(super) fn new(build: Build) -> Self {
        let (told, mood) = (Told::default(), Mood::Take);
        let (admission, dispatch, reception) = house(told);
        let intake = build(reception.clone(), &dispatch);
        let (receivers, tiny, serving) = (Vec::new(), false, true);
        let mut rooms = Self { build, admission, dispatch, reception, intake, receivers, told, mood, tiny, serving };
        rooms.add_all();
        rooms
    }

    /// Another host in the place of this one, with the same settings.
    pub(super) fn restart(&mut self) {
        self.judge();
        self.dispatch.close_all();
        (self.admission, self.dispatch, self.reception) = house(self.told);
        self.intake = (self.build)(self.reception.clone(), &self.dispatch);
        let open: Vec<_> = self.receivers.drain(..).map(|(slot, _)| slot.name().clone()).collect();
        open.iter().for_each(|name| self.add(name));
    }

    pub(super) fn reconfigure(&mut self, told: Told) {
        self.told = told;
        self.admission.reconfigure(settings(told));
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
        let closed = self.dispatch.close(slot.name()).expect("it is open");
        assert!(closed.ledger().is_balanced());
    }

    /// Receivers do what they are in the mood for with what is there.
    pub(super) async fn eat(&self) {
        if self.mood == Mood::Sleep {
            return;
        }
        for (slot, holder) in &self.receivers {
            // Looks once and does not wait: a clock that is stopped would jump.
            while let Some(batch) = tokio::select! {
                biased;
                batch = slot.lease(holder) => batch,
                () = std::future::ready(()) => None,
            } {
                batch.settle(outcome(self.mood));
                if self.mood == Mood::Fail {
                    slot.set_serving(false);
                    break;
                }
            }
        }
    }

    pub(super) fn seen(&self) -> Seen {
        let ledgers: Vec<_> = self.receivers.iter().map(|(slot, _)| slot.ledger()).collect();
        Seen {
            shed: ledgers.iter().any(|ledger| !ledger.shed.is_empty()),
            dead: ledgers.iter().any(|ledger| !ledger.dropped.is_empty()),
            unwanted: self.reception.ledger().unwanted > 0,
            evicted: self.admission.counts().evicted != admission::Evictions::default(),
            ..Seen::default()
        }
    }

    /// Every push is in one term, at the door and in each slot.
    pub(super) fn judge(&self) {
        assert!(self.reception.ledger().is_balanced());
        assert!(self.receivers.iter().all(|(slot, _)| slot.ledger().is_balanced()));
    }
}

fn house(told: Told) -> (Arc<Admission>, Dispatch, Arc<IntakePipeline>) {
    let events = Events::new();
    let dispatch = Dispatch::new(events.clone());
    let admission = Arc::new(Admission::new(settings(told)));
    let decoder = Decoder::new(decode::DecodeConfig { max_output: MOST, ..decode::DecodeConfig::default() });
    let reception = Arc::new(IntakePipeline::new(admission.clone(), decoder, dispatch.clone(), events));
    (admission, dispatch, reception)
}

fn settings(told: Told) -> admission::AdmissionConfig {
    let metrics = told.metrics.iter().map(|prefix| (*prefix).to_owned()).collect();
    let only = told.only.map(|software| ("client_software_name".to_owned(), software.to_owned()));
    let rule = SubscriptionRule::new("all", metrics, Some(told.interval_s * 1_000), only.as_slice()).expect("sound");
    let wildcard = |(software, wildcard)| ClientRule::new(Some(software), None, true, Some(wildcard)).expect("sound");
    let (few, none) = (Rates { new_clients: 10, pushes: 30, push_bytes: None }, Quotas::default());
    let one = Rates { new_clients: 1, pushes: 4, push_bytes: None };
    admission::AdmissionConfig {
        subscriptions: vec![rule],
        clients: told.wildcard.map(wildcard).into_iter().collect(),
        quotas: if told.tight { Quotas { connection: one, source: few, ..none } } else { none },
        delta: told.delta,
        max_wire_bytes: told.max_wire,
        capacity: told.capacity,
        all_as_empty_prefix: told.all_as_empty_prefix,
        ..admission::AdmissionConfig::default()
    }
}

fn queue(tiny: bool) -> SlotConfig {
    let max_pushes = if tiny { 2 } else { 100_000 };
    SlotConfig { lanes: 4, max_pushes, linger: Duration::ZERO, ..SlotConfig::default() }
}

fn outcome(mood: Mood) -> Outcome {
    match mood {
        Mood::Take | Mood::Sleep => Outcome::Taken,
        Mood::Refuse => Outcome::Unavailable { retry_after: None, reason: "the sink is away".into() },
        Mood::Trap | Mood::Fail => Outcome::Faulted(Fault::Trap, "unreachable".into()),
    }
}
