//! A slot compared with a model of it over random histories: whatever workers, sinks, generations and clocks do, each
//! client's pushes and notices are offered in order, no lane is leased twice, and the ledger accounts for every push.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::advance;

use super::support::*;
use crate::dispatch::key::{lane_of, ordering_hash};
use crate::dispatch::{Dispatch, Fault, LaneSet, LeaseHolder, LeasedBatch, Outcome, Slot, SlotConfig};
use crate::push::{Client, Ingress};

const CLIENTS: usize = 12;
const LANES: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingItem {
    Push(u64),
    Gone,
}

struct SlotModel {
    seed: u64,
    rng: SeededRng,
    dispatch: Dispatch,
    slot: Slot,
    max_pushes: usize,
    generation: u64,
    holders: Vec<LeaseHolder>,
    out: Vec<LeasedBatch>,
    /// Pushes that a candidate declined, and whether they were offered since.
    declined: BTreeMap<u64, bool>,
    /// What each client has sent that has not reached an end yet, in order.
    pending: BTreeMap<u8, VecDeque<PendingItem>>,
    sent: u64,
    shed: u64,
    delivered: u64,
    dead: u64,
    dropped: u64,
}

fn number(client: &Client) -> u8 {
    client.instance_id.expect("every client of a test has one").as_bytes()[0] - 2
}

impl SlotModel {
    fn new(seed: u64) -> Self {
        let mut rng = SeededRng(seed);
        let max_pushes = if rng.below(2) == 0 { 25 } else { 100_000 };
        let (dispatch, slot, _) = one_slot(SlotConfig {
            lanes: LANES,
            batch_pushes: 1 + rng.below(9),
            max_pushes,
            max_unexplained_failures: u32::MAX,
            max_age: Duration::from_secs(1 << 40),
            ..SlotConfig::default()
        });
        let (holders, out) = (vec![slot.holder(1, 2)], Vec::new());
        let pending = (0..CLIENTS as u8).map(|n| (n, VecDeque::new())).collect();
        let (sent, shed, delivered, dead, dropped, generation) = (0, 0, 0, 0, 0, 1);
        Self {
            seed,
            rng,
            dispatch,
            slot,
            max_pushes,
            generation,
            holders,
            out,
            declined: BTreeMap::new(),
            pending,
            sent,
            shed,
            delivered,
            dead,
            dropped,
        }
    }

    async fn step(&mut self) {
        match self.rng.below(20) {
            0..7 => self.send(),
            7 => self.depart(),
            8..13 => self.lease().await,
            13..17 => self.settle(),
            17 => advance(MS * self.rng.below(400) as u32).await,
            18 => drop(self.pick_out()),
            _ => self.swap(),
        }
        self.check();
    }

    fn send(&mut self) {
        let n = self.rng.below(CLIENTS) as u8;
        let in_flight: BTreeSet<u64> = self.out.iter().flat_map(tags).collect();
        let held: usize = self.pending.values().flatten().filter(|thing| **thing != PendingItem::Gone).count();
        let tag = self.sent;
        self.sent += 1;
        self.dispatch.dispatch(payload(n, tag, 100));
        let mut fate = Some(n);
        if held >= self.max_pushes {
            self.shed += 1;
            // Tags ascend, so the lowest is the oldest.
            let oldest = self.pushes().filter(|(_, tag)| !in_flight.contains(tag)).min_by_key(|(_, tag)| *tag);
            match oldest {
                Some((owner, oldest)) => self.forget(owner, PendingItem::Push(oldest)),
                None => fate = None,
            }
        }
        if let Some(n) = fate {
            self.pending_of(n).push_back(PendingItem::Push(tag));
        }
    }

    fn depart(&mut self) {
        let n = self.rng.below(CLIENTS) as u8;
        self.dispatch.notify_gone(departed(n));
        self.pending_of(n).push_back(PendingItem::Gone);
    }

    async fn lease(&mut self) {
        let which = self.rng.below(self.holders.len());
        if let Some(batch) = lease_now(&self.slot, &self.holders[which]).await {
            self.assert_next_in_order(&batch);
            self.declined_are_the_serving_generations(&batch);
            self.out.push(batch);
        }
    }

    /// A batch may only contain the next items of clients that no other batch has.
    fn assert_next_in_order(&self, batch: &LeasedBatch) {
        let seed = self.seed;
        let lane = |client: &Client| lane_of(ordering_hash(client, Ingress::Kafka), LANES);
        let lanes = |batch: &LeasedBatch| -> BTreeSet<usize> {
            let pushes = batch.deliveries().iter().map(|delivery| lane(delivery.payload.client()));
            pushes.chain(batch.gone().iter().map(|departed| lane(&departed.client))).collect()
        };
        assert!(
            self.out.iter().all(|other| lanes(other).is_disjoint(&lanes(batch))),
            "seed {seed}: a lane is leased twice"
        );
        for (n, pending) in &self.pending {
            let pushes = batch.deliveries().iter().filter(|d| number(d.payload.client()) == *n);
            let notices = batch.gone().iter().filter(|departed| number(&departed.client) == *n);
            let offered = pushes.map(|d| PendingItem::Push(tag(&d.payload))).chain(notices.map(|_| PendingItem::Gone));
            let offered: Vec<PendingItem> = offered.collect();
            let next: Vec<PendingItem> = pending.iter().copied().take(offered.len()).collect();
            assert_eq!(offered, next, "seed {seed}: client {n} is offered out of order");
        }
    }

    fn declined_are_the_serving_generations(&mut self, batch: &LeasedBatch) {
        for delivery in batch.deliveries() {
            let Some(offered) = self.declined.get_mut(&tag(&delivery.payload)) else { continue };
            assert!(!batch.on_trial(), "seed {}: a candidate is offered a push that one declined", self.seed);
            // A push that was leased and dropped may be offered for the first time again.
            assert!(*offered || delivery.attempt == 1, "seed {}: an attempt of a candidate counts", self.seed);
            *offered = true;
        }
    }

    fn pick_out(&mut self) -> Option<LeasedBatch> {
        (!self.out.is_empty()).then(|| self.out.swap_remove(self.rng.below(self.out.len())))
    }

    fn settle(&mut self) {
        let Some(batch) = self.pick_out() else { return };
        let outcome = self.outcome(batch.len());
        self.finish(batch, outcome);
    }

    fn outcome(&mut self, pushes: usize) -> Outcome {
        let random_subset =
            |dice: &mut SeededRng| (0..pushes as u32).filter(|_| dice.below(3) == 0).collect::<Vec<u32>>();
        let rng = &mut self.rng;
        match rng.below(9) {
            6 => Outcome::Rejected("no".into()),
            0 => unavailable(),
            1 => Outcome::TooLarge,
            2 => {
                let rejected = random_subset(rng).into_iter().map(|index| (index, "never".into())).collect();
                Outcome::Partial { rejected, retry: random_subset(rng), retry_after: Some(MS) }
            }
            3 => Outcome::Other("?".into()),
            4 => Outcome::Faulted(Fault::Trap, String::new()),
            5 => Outcome::Partial { rejected: vec![], retry: vec![pushes as u32], retry_after: None },
            _ => Outcome::Taken,
        }
    }

    fn finish(&mut self, batch: LeasedBatch, outcome: Outcome) {
        let (pushes, notices) = batch.shared();
        let alone = pushes.len() + notices.len() == 1;
        let trial = batch.on_trial();
        let settled = batch.settle(outcome.clone());
        let valid = |index: u32| (index as usize) < pushes.len();
        let (mut delivered, mut dead) = (0, 0);
        let mut left = BTreeSet::new();
        for (index, delivery) in pushes.iter().enumerate() {
            let (n, index) = (number(delivery.payload.client()), index as u32);
            let (taken, gave_up) = match &outcome {
                Outcome::Taken => (true, false),
                Outcome::TooLarge | Outcome::Rejected(_) => (false, pushes.len() == 1),
                Outcome::Partial { rejected, retry, .. } if retry.iter().all(|index| valid(*index)) => {
                    let rejected = rejected.iter().any(|(known, _)| *known == index);
                    (!rejected && !retry.contains(&index), rejected)
                }
                // Only the slot knows whether this is the second time that it made an instance fail alone.
                Outcome::Faulted(..) => (false, alone && settled.dropped == 1),
                _ => (false, false),
            };
            let gave_up = gave_up && !trial;
            let halved = matches!(outcome, Outcome::TooLarge | Outcome::Rejected(_)) && pushes.len() > 1;
            if trial && !taken && !halved {
                self.declined.insert(tag(&delivery.payload), false);
            }
            delivered += u64::from(taken);
            dead += u64::from(gave_up);
            if taken || gave_up {
                self.forget(n, PendingItem::Push(tag(&delivery.payload)));
            } else {
                left.insert(n);
            }
        }
        let dropped = self.slot.ledger().notices_dropped
            - std::mem::replace(&mut self.dropped, self.slot.ledger().notices_dropped);
        let ended = match &outcome {
            Outcome::Taken => true,
            Outcome::Partial { retry, .. } => retry.iter().all(|index| valid(*index)),
            Outcome::TooLarge | Outcome::Rejected(_) => pushes.is_empty() && !trial,
            // As for pushes.
            Outcome::Faulted(..) => alone && dropped == 1,
            _ => false,
        };
        for departed in notices.iter().filter(|_| ended) {
            let n = number(&departed.client);
            if !left.contains(&n) {
                self.forget(n, PendingItem::Gone);
            }
        }
        assert_eq!((settled.delivered as u64, settled.dropped as u64), (delivered, dead), "seed {}", self.seed);
        self.delivered += delivered;
        self.dead += dead;
    }

    /// Another generation; now and then the old one keeps some lanes.
    fn swap(&mut self) {
        self.generation += 1;
        let new = self.slot.holder(self.generation, 1 + self.rng.below(3));
        let canary: BTreeSet<usize> = (0..LANES).filter(|_| self.rng.below(3) == 0).collect();
        if self.rng.below(2) == 0 {
            self.holders.drain(..).for_each(|old| old.stop());
        } else {
            new.set_on_trial(true);
            new.set_lanes(LaneSet::Only(canary.clone()));
            self.holders.truncate(1);
            self.holders.iter().for_each(|old| old.set_lanes(LaneSet::Except(canary.clone())));
        }
        self.holders.push(new);
    }

    fn pending_of(&mut self, n: u8) -> &mut VecDeque<PendingItem> {
        self.pending.get_mut(&n).expect("every client exists from the start")
    }

    fn forget(&mut self, n: u8, thing: PendingItem) {
        let things = self.pending_of(n);
        let at = things.iter().position(|known| *known == thing).expect("it was pending");
        things.remove(at);
    }

    fn pushes(&self) -> impl Iterator<Item = (u8, u64)> {
        self.pending.iter().flat_map(|(n, things)| {
            things.iter().filter_map(|thing| match thing {
                PendingItem::Push(tag) => Some((*n, *tag)),
                PendingItem::Gone => None,
            })
        })
    }

    fn check(&self) {
        assert_consistent(&self.slot);
        let (ledger, seed) = (self.slot.ledger(), self.seed);
        let in_flight: u64 = self.out.iter().map(|batch| batch.len() as u64).sum();
        let sum =
            |terms: &BTreeMap<&'static str, crate::dispatch::PushTally>| terms.values().map(|t| t.pushes).sum::<u64>();
        assert_eq!(ledger.accepted.pushes, self.sent, "seed {seed}");
        assert_eq!(ledger.in_flight.pushes, in_flight, "seed {seed}");
        assert_eq!(ledger.held().pushes, self.pushes().count() as u64, "seed {seed}");
        assert_eq!((ledger.delivered.pushes, sum(&ledger.dropped)), (self.delivered, self.dead), "seed {seed}");
        assert_eq!(sum(&ledger.shed), self.shed, "seed {seed}");
        assert!(ledger.held().pushes <= self.max_pushes as u64, "seed {seed}");
    }

    /// At the end a working receiver accepts everything that is left.
    async fn deliver_the_rest(&mut self) {
        while let Some(batch) = self.pick_out() {
            drop(batch);
        }
        self.holders.drain(..).for_each(|old| old.stop());
        let last = self.slot.holder(self.generation + 1, 1);
        self.slot.retry_now();
        advance(100 * MS).await;
        while self.pending.values().any(|things| !things.is_empty()) {
            let batch = lease_now(&self.slot, &last).await;
            let batch = batch.unwrap_or_else(|| panic!("seed {}: stuck with {:?}", self.seed, self.pending));
            self.assert_next_in_order(&batch);
            self.finish(batch, Outcome::Taken);
            self.check();
        }
        assert!(self.slot.inspect(|queue| queue.is_idle()), "seed {}", self.seed);
    }
}

#[tokio::test(start_paused = true)]
async fn random_histories_keep_order_and_lose_nothing() {
    let lives = std::env::var("BARNABAS_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let (mut delivered, mut dead, mut shed) = (0, 0, 0);
    for seed in 0..lives {
        let mut world = SlotModel::new(seed);
        for _ in 0..250 {
            world.step().await;
        }
        world.deliver_the_rest().await;
        (delivered, dead, shed) = (delivered + world.delivered, dead + world.dead, shed + world.shed);
    }
    assert!(delivered > 0 && dead > 0 && shed > 0, "the histories cover too little: {delivered} {dead} {shed}");
}
