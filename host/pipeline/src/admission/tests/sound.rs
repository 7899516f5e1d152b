//! Invariants under random sequences of requests.

use proptest::prelude::*;

use super::*;

/// What can happen to an admission.
#[derive(Clone, Debug)]
enum AdmissionStep {
    Get(u8, u64),
    Push { client: u8, connection: u64, right: bool, codec: i8, terminating: bool },
    Disconnect(u64),
    Terminated(u8),
    Wait(u64),
    Expire,
    Reconfigure(u8),
}

fn step() -> impl Strategy<Value = AdmissionStep> {
    prop_oneof![
        3 => (0..6u8, 0..12u64).prop_map(|(client, connection)| AdmissionStep::Get(client, connection)),
        5 => (0..6u8, 0..12u64, any::<bool>(), -1..6i8, prop::bool::weighted(0.2)).prop_map(
            |(client, connection, right, codec, terminating)| AdmissionStep::Push {
                client, connection, right, codec, terminating
            }
        ),
        1 => (0..12u64).prop_map(AdmissionStep::Disconnect),
        1 => (0..6u8).prop_map(AdmissionStep::Terminated),
        3 => (0..200_000u64).prop_map(AdmissionStep::Wait),
        1 => Just(AdmissionStep::Expire),
        1 => (0..4u8).prop_map(AdmissionStep::Reconfigure),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_requests_leaves_admission_consistent(steps in prop::collection::vec(step(), 0..120)) {
        let id = |client: u8| InstanceId::from_bytes([client; 16]);
        let mut fixture = AdmissionFixture::with_config(AdmissionConfig { capacity: 4, ..config(&["*"]) });
        for step in steps {
            match step {
                AdmissionStep::Get(client, connection) => {
                    let (client_id, connection) = (id(client), ConnectionId(connection));
                    let answer = fixture.admission.subscribe(&client_with_id(client_id), connection, fixture.now, WALL);
                    let answered = answer.map_or(true, |answer| client < 1 || answer.instance_id == client_id);
                    prop_assert!(answered, "an id is echoed");
                }
                AdmissionStep::Push { client, connection, right, codec, terminating } => {
                    let current = fixture.admission.clients(9).into_iter()
                        .find(|known| known.client.instance_id == Some(id(client)))
                        .map_or(0, |known| known.subscription_id);
                    let subscription = if right { current } else { current ^ 1 };
                    let push = Push { codec, terminating, ..push(&(client_with_id(id(client)), subscription)) };
                    let judged = fixture.admission.admit(push, ConnectionId(connection), fixture.now);
                    let sound = right && (0..5).contains(&codec);
                    prop_assert!(sound || judged.is_err());
                }
                AdmissionStep::Disconnect(connection) => {
                    fixture.admission.disconnected(ConnectionId(connection), WALL);
                    prop_assert!(fixture.admission.disconnected(ConnectionId(connection), WALL).is_empty());
                }
                AdmissionStep::Terminated(client) => {
                    fixture.admission.terminated(id(client), TWO, WALL);
                    prop_assert!(fixture.admission.terminated(id(client), TWO, WALL).is_none());
                }
                AdmissionStep::Wait(ms) => drop(fixture.after(Duration::from_millis(ms))),
                AdmissionStep::Expire => drop(fixture.admission.expire(fixture.now, WALL)),
                AdmissionStep::Reconfigure(n) => fixture.admission.reconfigure(AdmissionConfig {
                    capacity: usize::from(n) + 1,
                    ..config(&[["a", "b", "c", "*"][usize::from(n)]])
                }),
            }
            fixture.admission.lock().table.assert_consistent();
        }
    }

    /// A healthy client: its first push after a Get with a `jitter`, one interval between pushes, requests that the
    /// network delays by 0 to 300 ms, occasional changes of the subscription, and new connections.
    #[test]
    fn a_client_that_follows_its_interval_is_never_throttled(
        seconds in 10..300u64,
        turns in prop::collection::vec(
            (0.5..1.5f64, 0..300u64, prop::bool::weighted(0.2), prop::bool::weighted(0.1)),
            1..60,
        ),
    ) {
        let interval = Duration::from_secs(seconds);
        let config = |metric: &str| {
            let rule = SubscriptionRule::new("s", vec![metric.into()], Some(seconds * 1_000), &[]);
            AdmissionConfig { subscriptions: vec![rule.expect("a valid rule")], ..without_quotas() }
        };
        let mut fixture = AdmissionFixture::with_config(config("a"));
        let mut client = fixture.join();
        // The client's own clock: requests arrive `delay` after it.
        let mut sent = fixture.now;
        let mut asked = true;
        for (turn, (jitter, delay, change, reconnect)) in turns.into_iter().enumerate() {
            sent += if asked { interval.mul_f64(jitter) } else { interval };
            fixture.now = sent + Duration::from_millis(delay.min(seconds * 1_000 / 25));
            if change {
                fixture.admission.reconfigure(config(["a", "b"][turn % 2]));
            }
            asked = false;
            if reconnect {
                fixture.admission.disconnected(ONE, WALL);
            } else {
                match fixture.push(push(&client)) {
                    Ok(_) => continue,
                    Err(Refusal::UnknownSubscription { .. }) => {}
                    Err(refusal) => prop_assert!(false, "{refusal}"),
                }
            }
            let answer = fixture.subscribe(&client.0);
            prop_assert!(answer.is_ok(), "{answer:?}");
            client.1 = answer.expect("asserted").id;
            (sent, asked) = (fixture.now, true);
        }
    }
}
