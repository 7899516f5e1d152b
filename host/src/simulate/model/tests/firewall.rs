//! The firewall: whatever befalls receivers, queues, subscriptions and hosts, no client falls silent for it.
//!
//! Clients of every kind live at once with the real rooms, under a stopped clock, while a random script breaks things.
//! After each script nobody is silent, and once the trouble is over everybody's pushes are taken again.

mod crowd;
mod rooms;
mod script;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::admission::{ClientSubscription, Refusal};
use crate::dispatch::Dispatch;
use crate::intake::{Intake, IntakePipeline, Receipt};
use crate::push::{Client, ConnectionId, Ingress, Push};
use crowd::{Crowd, Seen};
use rooms::{Build, Rooms};
use script::{Line, Trouble, lines};

/// The longest that a client may have been told to wait, with what jitter adds, twice: it may have to ask first.
const ENOUGH: Duration = Duration::from_secs(2 * 450 + 60);
/// Errors that every client survives (and none, 0).
const SURVIVABLE: [i16; 5] = [0, 117, 76, 118, 89];

/// Scripts in a run; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

/// Lives through a script with rooms of this build, then in calm. What happened, or what went wrong, in words.
fn live(script: &[Line], build: Build) -> Result<Seen, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut crowd = Crowd::new(24, Rooms::new(build));
        for line in script {
            crowd.trouble(&line.trouble);
            crowd.run(line.then).await;
            crowd.look();
            crowd.judge()?;
        }
        crowd.calm();
        crowd.run_until_all_pushed(ENOUGH).await;
        crowd.judge()?;
        crowd.judge_calm()?;
        Ok(crowd.seen)
    })
}

fn real(reception: Arc<IntakePipeline>, _: &Dispatch) -> Arc<dyn Intake> {
    reception
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_falls_silent(script in lines()) {
        live(&script, real).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn every_trouble_is_survived_alone() {
    let mut all = Seen::default();
    for trouble in script::each() {
        let line = |trouble| Line { trouble, then: Duration::from_secs(45) };
        let seen = live(&[line(Trouble::Nothing), line(trouble)], real);
        all.add(&seen.unwrap_or_else(|wrong| panic!("{trouble:?}: {wrong}")));
    }
    assert_eq!(Vec::from_iter(all.codes.clone()), [0, 89, 117, 118], "it was trouble");
    assert!(all.shed && all.evicted && all.unwanted && all.dead && all.over_quota, "{all:?}");
    for told in [&[][..], &["*"], &[""], &["no.such."]] {
        assert!(all.told.iter().any(|metrics| metrics == told), "nobody was told {told:?}: {all:?}");
    }
}

/// Rooms with a fault of their own in front.
struct Broken {
    rooms: Arc<IntakePipeline>,
    dispatch: Dispatch,
    /// Blames clients for what a receiver cannot take.
    blames: bool,
}

impl Broken {
    fn shed(&self) -> u64 {
        let slots = self.dispatch.slots();
        slots.iter().flat_map(|slot| slot.ledger().shed.into_values()).map(|tally| tally.pushes).sum()
    }
}

impl Intake for Broken {
    fn offers_telemetry(&self) -> bool {
        let serving = |slot: &crate::dispatch::Slot| slot.snapshot().serving;
        self.rooms.offers_telemetry() && (self.blames || self.dispatch.slots().iter().any(serving))
    }

    fn subscribe(&self, client: &Arc<Client>, connection: ConnectionId) -> Result<ClientSubscription, Refusal> {
        self.rooms.subscribe(client, connection)
    }

    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal> {
        let before = self.shed();
        let receipt = self.rooms.push(push, connection)?;
        if self.blames && self.shed() > before {
            return Err(Refusal::InvalidRecord("the receiver could not take it".into()));
        }
        Ok(receipt)
    }

    fn deliver(&self, push: Push) -> Result<Receipt, Refusal> {
        self.rooms.deliver(push)
    }

    fn record_refused(
        &self,
        way_in: Ingress,
        wire: usize,
        client: &Arc<Client>,
        connection: ConnectionId,
        refusal: Refusal,
    ) {
        self.rooms.record_refused(way_in, wire, client, connection, refusal);
    }

    fn disconnected(&self, connection: ConnectionId) {
        self.rooms.disconnected(connection);
    }
}

/// Who connects anew and has nothing to send yet sees what the node lacks when it has.
fn paused_and_away() -> [Line; 4] {
    let away = Trouble::Disconnect { every: 2, first: 1, away: Duration::from_secs(1) };
    [Trouble::Nothing, Trouble::Pause, away, away].map(|trouble| Line { trouble, then: Duration::from_secs(60) })
}

#[test]
fn a_host_that_blames_clients_for_its_receiver_is_found_out() {
    let build: Build = |rooms, dispatch| Arc::new(Broken { rooms, dispatch: dispatch.clone(), blames: true });
    let wrong = live(&paused_and_away(), build).unwrap_err();
    assert!(wrong.contains("87") && wrong.contains("INVALID_RECORD"), "{wrong}");
    assert!(live(&paused_and_away(), real).is_ok());
}

#[test]
fn a_host_that_offers_nothing_while_its_receiver_is_paused_is_found_out() {
    let build: Build = |rooms, dispatch| Arc::new(Broken { rooms, dispatch: dispatch.clone(), blames: false });
    let wrong = live(&paused_and_away(), build).unwrap_err();
    assert!(wrong.contains("java-4.2") && wrong.contains("did not offer"), "{wrong}");
}
