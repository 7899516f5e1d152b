//! Every slot's ledger at each scrape:
//! `ledger_accepted_pushes = sum(ledger_settled_pushes) + sum(ledger_held_pushes)` in every single scrape.
//!
//! In: moves between terms. They are emitted after the slot's lock is released, so two of them may arrive in the wrong
//! order and a term may be too low for a moment. But a move is applied as a whole and a scrape copies under the same
//! lock, so the sum is always right.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use barnabas_pipeline::event::{EventData, LedgerTerm};

/// By slot.
#[derive(Debug, Default)]
pub(super) struct Ledgers(Mutex<BTreeMap<Arc<str>, SlotLedger>>);

#[derive(Clone, Debug, Default)]
struct SlotLedger {
    accepted: u64,
    queued: HeldAmount,
    in_flight: HeldAmount,
    // By term and cause: pushes.
    settled: BTreeMap<(&'static str, &'static str), u64>,
}

/// What a slot holds in memory.
#[derive(Clone, Copy, Debug, Default)]
struct HeldAmount {
    pushes: i64,
    bytes: i64,
}

impl Ledgers {
    pub(super) fn record(&self, data: &EventData) {
        let EventData::LedgerMoved { slot, from, to, pushes, size, .. } = data else { return };
        let mut ledgers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ledgers.contains_key(slot) {
            ledgers.insert(slot.clone(), SlotLedger::default());
        }
        if let Some(ledger) = ledgers.get_mut(slot) {
            ledger.apply(*from, *to, *pushes, *size);
        }
    }

    fn snapshot(&self) -> SlotLedgers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl SlotLedger {
    /// Delivered, dropped and shed are final: nothing moves out of them.
    fn apply(&mut self, from: Option<LedgerTerm>, to: LedgerTerm, pushes: usize, size: usize) {
        let (count, bytes) = (signed(pushes), signed(size));
        match from {
            None => self.accepted += pushes as u64,
            Some(LedgerTerm::Queued) => self.queued.add(-count, -bytes),
            Some(LedgerTerm::InFlight) => self.in_flight.add(-count, -bytes),
            Some(LedgerTerm::Delivered | LedgerTerm::Dropped(_) | LedgerTerm::Shed(_)) => return,
        }
        let end = match to {
            LedgerTerm::Queued => return self.queued.add(count, bytes),
            LedgerTerm::InFlight => return self.in_flight.add(count, bytes),
            LedgerTerm::Delivered => ("delivered", ""),
            LedgerTerm::Dropped(cause) => ("dropped", cause),
            LedgerTerm::Shed(cause) => ("shed", cause),
        };
        *self.settled.entry(end).or_default() += pushes as u64;
    }

    fn held(&self) -> [(&'static str, HeldAmount); 2] {
        [("queued", self.queued), ("in_flight", self.in_flight)]
    }
}

impl HeldAmount {
    fn add(&mut self, pushes: i64, bytes: i64) {
        self.pushes += pushes;
        self.bytes += bytes;
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

type SlotLedgers = BTreeMap<Arc<str>, SlotLedger>;

impl Collector for Ledgers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let slots = self.snapshot();
        // Not every parser accepts a family without samples.
        if slots.is_empty() {
            return Ok(());
        }
        accepted(&slots, &mut encoder)?;
        settled(&slots, &mut encoder)?;
        held(&slots, &mut encoder, "ledger_held_pushes", None, |held| held.pushes)?;
        held(&slots, &mut encoder, "ledger_held", Some(&Unit::Bytes), |held| held.bytes)
    }
}

fn accepted(slots: &SlotLedgers, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Pushes accepted by a receiver's slot: the sum of those settled and held.";
    let mut family = encoder.encode_descriptor("ledger_accepted_pushes", help, None, MetricType::Counter)?;
    for (plugin, ledger) in slots {
        let labels = [("plugin", &**plugin)];
        ConstCounter::new(ledger.accepted).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn settled(slots: &SlotLedgers, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let help = "Pushes with a final result: delivered, or dropped or shed with the cause.";
    let mut family = encoder.encode_descriptor("ledger_settled_pushes", help, None, MetricType::Counter)?;
    for (plugin, ledger) in slots {
        for ((term, cause), pushes) in &ledger.settled {
            let labels = [("plugin", &**plugin), ("term", term), ("cause", cause)];
            ConstCounter::new(*pushes).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn held(
    slots: &SlotLedgers,
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: Option<&Unit>,
    pick: fn(HeldAmount) -> i64,
) -> fmt::Result {
    let help = "Pushes that a slot holds in memory: queued, or in a batch that is not settled.";
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
    for (plugin, ledger) in slots {
        for (term, amount) in ledger.held() {
            let labels = [("plugin", &**plugin), ("term", term)];
            ConstGauge::new(pick(amount)).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
