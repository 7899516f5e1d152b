//! The firewall: no failure of receivers, queues, subscriptions or hosts makes a client stop pushing for good.
//!
//! Clients of every kind run against the real modules of the host, under a paused clock, while a random script causes
//! disturbances. After each script no client is silent, and after the disturbances all clients have pushes accepted again.

mod crowd;
mod host_fixture;
mod script;

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use barnabas_pipeline::admission::{ClientSubscription, Refusal};
use barnabas_pipeline::dispatch::Dispatch;
use barnabas_pipeline::intake::{Intake, IntakePipeline, Receipt};
use barnabas_pipeline::push::{Client, ConnectionId, Ingress, Push};
use crowd::{Crowd, Observations};
use host_fixture::{HostFixture, WrapIntake};
use script::{Disturbance, ScriptStep, scripts};

/// The longest interval that a client can have, with jitter, twice, because the client may need a new subscription first.
const ENOUGH: Duration = Duration::from_secs(2 * 450 + 60);
/// Error codes after which every client pushes again, and 0 for success.
const SURVIVABLE: [i16; 5] = [0, 117, 76, 118, 89];

/// Number of scripts in a run; `PROPTEST_CASES` overrides it.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

/// Runs a script and then a phase without disturbances. Returns the observations, or a description of the failure.
fn play(script: &[ScriptStep], build: WrapIntake) -> Result<Observations, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut crowd = Crowd::new(24, HostFixture::new(build));
        for line in script {
            crowd.disturb(&line.disturbance);
            crowd.run(line.then).await;
            crowd.observe();
            crowd.check()?;
        }
        crowd.end_disturbance();
        crowd.run_until_all_pushed(ENOUGH).await;
        crowd.check()?;
        crowd.check_calm()?;
        Ok(crowd.seen)
    })
}

fn real(reception: Arc<IntakePipeline>, _: &Dispatch) -> Arc<dyn Intake> {
    reception
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_client_falls_silent(script in scripts()) {
        play(&script, real).map_err(TestCaseError::fail)?;
    }
}

#[test]
fn clients_survive_every_single_disturbance() {
    let mut all = Observations::default();
    for disturbance in script::every_disturbance() {
        let line = |disturbance| ScriptStep { disturbance, then: Duration::from_secs(45) };
        let seen = play(&[line(Disturbance::None), line(disturbance)], real);
        all.add(&seen.unwrap_or_else(|wrong| panic!("{disturbance:?}: {wrong}")));
    }
    assert_eq!(Vec::from_iter(all.codes.clone()), [0, 89, 117, 118], "the disturbances had an effect");
    assert!(all.shed && all.evicted && all.unwanted && all.dropped && all.over_quota, "{all:?}");
    for given_subscription in [&[][..], &["*"], &[""], &["no.such."]] {
        assert!(
            all.metrics.iter().any(|metrics| metrics == given_subscription),
            "no client received {given_subscription:?}: {all:?}"
        );
    }
}

/// An intake with a deliberate bug, in front of the real one.
struct FaultyIntake {
    inner: Arc<IntakePipeline>,
    dispatch: Dispatch,
    /// Whether it refuses pushes that a receiver cannot process; otherwise it offers no telemetry while receivers are
    /// paused.
    blames_clients: bool,
}

impl FaultyIntake {
    fn shed(&self) -> u64 {
        let slots = self.dispatch.slots();
        slots.iter().flat_map(|slot| slot.ledger().shed.into_values()).map(|tally| tally.pushes).sum()
    }
}

impl Intake for FaultyIntake {
    fn offers_telemetry(&self) -> bool {
        let serving = |slot: &barnabas_pipeline::dispatch::Slot| slot.snapshot().serving;
        self.inner.offers_telemetry() && (self.blames_clients || self.dispatch.slots().iter().any(serving))
    }

    fn subscribe(&self, client: &Arc<Client>, connection: ConnectionId) -> Result<ClientSubscription, Refusal> {
        self.inner.subscribe(client, connection)
    }

    fn push(&self, push: Push, connection: ConnectionId) -> Result<Receipt, Refusal> {
        let before = self.shed();
        let receipt = self.inner.push(push, connection)?;
        if self.blames_clients && self.shed() > before {
            return Err(Refusal::InvalidRecord("the receiver could not process it".into()));
        }
        Ok(receipt)
    }

    fn deliver(&self, push: Push) -> Result<Receipt, Refusal> {
        self.inner.deliver(push)
    }

    fn record_refused(
        &self,
        way_in: Ingress,
        wire: usize,
        client: &Arc<Client>,
        connection: ConnectionId,
        refusal: Refusal,
    ) {
        self.inner.record_refused(way_in, wire, client, connection, refusal);
    }

    fn disconnected(&self, connection: ConnectionId) {
        self.inner.disconnected(connection);
    }
}

/// Clients that reconnect notice that the node does not offer telemetry only when they have something to send.
fn paused_and_away() -> [ScriptStep; 4] {
    let away = Disturbance::Disconnect { every: 2, first: 1, away: Duration::from_secs(1) };
    [Disturbance::None, Disturbance::Pause, away, away]
        .map(|disturbance| ScriptStep { disturbance, then: Duration::from_secs(60) })
}

#[test]
fn a_host_that_refuses_pushes_because_of_its_receiver_is_detected() {
    let build: WrapIntake =
        |rooms, dispatch| Arc::new(FaultyIntake { inner: rooms, dispatch: dispatch.clone(), blames_clients: true });
    let wrong = play(&paused_and_away(), build).unwrap_err();
    assert!(wrong.contains("87") && wrong.contains("INVALID_RECORD"), "{wrong}");
    assert!(play(&paused_and_away(), real).is_ok());
}

#[test]
fn a_host_that_offers_no_telemetry_while_its_receiver_is_paused_is_detected() {
    let build: WrapIntake =
        |rooms, dispatch| Arc::new(FaultyIntake { inner: rooms, dispatch: dispatch.clone(), blames_clients: false });
    let wrong = play(&paused_and_away(), build).unwrap_err();
    assert!(wrong.contains("java-4.2") && wrong.contains("did not offer"), "{wrong}");
}
