use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::push::WayIn;

const INTERVAL: Duration = Duration::from_secs(60);
const WALL: SystemTime = SystemTime::UNIX_EPOCH;
const ONE: ConnectionId = ConnectionId(1);
const TWO: ConnectionId = ConnectionId(2);

/// A room, and a time that the test moves.
struct Room {
    admission: Admission,
    now: Instant,
}

impl Room {
    fn new() -> Self {
        Self::with(config(&["org.apache.kafka."]))
    }

    fn with(config: Config) -> Self {
        let mut next = 0u128;
        let random = move || {
            next += 1;
            next.to_be_bytes()
        };
        Self { admission: Admission::with_random(config, random), now: Instant::now() }
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    fn get(&self, client: &Arc<Client>) -> Result<Subscription, Refusal> {
        self.admission.subscribe(client, ONE, self.now, WALL)
    }

    fn push(&self, push: Push) -> Result<Admitted, Refusal> {
        self.admission.admit(push, ONE, self.now)
    }

    /// A client with its first Get answered.
    fn join(&self) -> (Arc<Client>, i32) {
        let subscription = self.get(&nobody()).expect("the first Get passes");
        (known(subscription.instance_id), subscription.id)
    }
}

fn config(metrics: &[&str]) -> Config {
    let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
    let rule = SubscriptionRule::new("s", metrics, Some(INTERVAL.as_millis() as u64), &[]).expect("a sound rule");
    Config { subscriptions: vec![rule], ..Config::default() }
}

fn nobody() -> Arc<Client> {
    Arc::new(Client { client_id: Some(Arc::from("c")), ..Client::default() })
}

fn known(id: InstanceId) -> Arc<Client> {
    Arc::new(Client { instance_id: Some(id), ..Client::clone(&nobody()) })
}

fn push((client, subscription_id): &(Arc<Client>, i32)) -> Push {
    Push {
        client: client.clone(),
        way_in: WayIn::Kafka,
        received_at: WALL,
        terminating: false,
        subscription_id: Some(*subscription_id),
        codec: 4,
        wire: Bytes::from_static(b"metrics"),
        push_interval: None,
        node_id: None,
        trace_parent: None,
    }
}

fn last(client: &(Arc<Client>, i32)) -> Push {
    Push { terminating: true, ..push(client) }
}

fn code<T>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.map_or_else(|refusal| refusal.code(), |_| "taken")
}

#[test]
fn a_new_client_gets_an_id_and_an_old_one_its_own() {
    let room = Room::new();
    let first = room.get(&nobody()).expect("the first Get passes");
    assert!(!first.instance_id.is_reserved());
    for reserved in [InstanceId::NIL, InstanceId::ONE] {
        let other = room.get(&known(reserved)).expect("the first Get passes").instance_id;
        assert!(!other.is_reserved() && other != first.instance_id);
    }
    let invented = InstanceId::from_bytes([9; 16]);
    assert_eq!(room.get(&known(invented)).map(|s| s.instance_id), Ok(invented), "unknown ids are taken");
}

#[test]
fn an_id_that_is_taken_is_drawn_again() {
    let mut draws = [1u128, 1, 2].into_iter();
    let random = move || draws.next().expect("three draws are enough").to_be_bytes();
    let admission = Admission::with_random(config(&["*"]), random);
    let get = || admission.subscribe(&nobody(), ONE, Instant::now(), WALL).expect("a first Get").instance_id;
    assert_ne!(get(), get());
}

#[test]
fn the_answer_is_the_union_of_what_matches() {
    let rule = |metrics: &[&str], ms: u64, id: &str| {
        let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
        SubscriptionRule::new("s", metrics, Some(ms), &[("client_id".into(), id.into())]).expect("a sound rule")
    };
    let mut config = Config {
        subscriptions: vec![
            rule(&["b.", "a."], 400_000, "c|d"),
            rule(&["a.", "c."], 50_000, "c"),
            rule(&[], 400_000, "e"),
            rule(&["x.", "*"], 70_000, "f"),
            rule(&["y."], 70_000, "f"),
        ],
        ..Config::default()
    };
    let ask = |config: &Config, id: &str| {
        let client = Arc::new(Client { client_id: Some(Arc::from(id)), ..Client::default() });
        let answer = Room::with(config.clone()).get(&client).expect("a first Get");
        let metrics: Vec<String> = answer.metrics.iter().map(|metric| metric.to_string()).collect();
        (metrics.join(" "), answer.push_interval.as_secs())
    };
    assert_eq!(ask(&config, "c"), ("a. b. c.".into(), 50));
    assert_eq!(ask(&config, "d"), ("a. b.".into(), 300), "never above five minutes");
    assert_eq!(ask(&config, "e"), (String::new(), 300));
    assert_eq!(ask(&config, "f"), ("*".into(), 70), "all swallows the rest");
    assert_eq!(ask(&config, "nobody"), (String::new(), 300));
    config.all_as_empty_prefix = true;
    let all =
        Room::with(config.clone()).get(&Arc::new(Client { client_id: Some(Arc::from("f")), ..Client::default() }));
    assert_eq!(all.expect("a first Get").metrics.as_ref(), [Arc::from("")]);
    config.long_intervals = true;
    assert_eq!(ask(&config, "d").1, 400);
}

#[test]
fn long_intervals_stop_where_librdkafka_overflows() {
    let rule = SubscriptionRule::new("s", vec!["*".into()], Some(3_600_000), &[]).expect("a sound rule");
    let room = Room::with(Config { subscriptions: vec![rule], long_intervals: true, ..Config::default() });
    let ask = |name: &str, version: &str| {
        let (name, version) = (Some(Arc::from(name)), Some(Arc::from(version)));
        let client = Client { software_name: name, software_version: version, ..Client::default() };
        room.get(&Arc::new(client)).expect("a first Get").push_interval.as_secs()
    };
    assert_eq!(ask("librdkafka", "2.16.0"), 1_700);
    assert_eq!(ask("confluent-kafka-python", "2.16.1-rdkafka-2.16.0"), 1_700);
    assert_eq!(ask("apache-kafka-java", "4.1.0"), 3_600);
}

#[test]
fn hosts_with_one_configuration_give_out_one_id() {
    let client = known(InstanceId::from_bytes([7; 16]));
    let id = |config: Config| Room::with(config).get(&client).expect("a first Get").id;
    assert_eq!(id(config(&["a", "b"])), id(config(&["b", "a", "b"])));
    assert_ne!(id(config(&["a"])), id(config(&["b"])));
    assert_ne!(id(config(&["a"])), id(Config { delta: true, ..config(&["a"]) }));
}

#[test]
fn an_admitted_push_knows_its_interval() {
    let room = Room::new();
    let (push, codec) = room.push(push(&room.join())).expect("the first push passes").into_parts();
    assert_eq!((push.push_interval, codec), (Some(INTERVAL), Codec::Zstd));
}

#[test]
fn faults_are_found_in_apaches_order() {
    let mut room = Room::with(Config { max_wire: 8, ..config(&["*"]) });
    let client = room.join();
    let nil = push(&(known(InstanceId::NIL), 0));
    assert_eq!(code(room.push(nil)), "invalid_request");
    let wrong = Push { subscription_id: Some(client.1 ^ 1), codec: 9, wire: vec![0; 9].into(), ..push(&client) };
    assert_eq!(code(room.push(wrong.clone())), "unknown_subscription");
    assert_eq!(code(room.push(wrong.clone())), "throttled");
    let wrong = Push { subscription_id: Some(client.1), ..wrong };
    assert_eq!(code(room.after(INTERVAL).push(wrong.clone())), "unsupported_compression");
    let wrong = Push { codec: 0, ..wrong };
    assert_eq!(code(room.after(INTERVAL).push(wrong)), "too_large");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
}

#[test]
fn wire_limit_obeyed() {
    let room = Room::with(Config { max_wire: 7, ..config(&["*"]) });
    assert_eq!(code(room.push(push(&room.join()))), "taken");
}

#[test]
fn wire_limit_violated() {
    let room = Room::with(Config { max_wire: 6, ..config(&["*"]) });
    assert_eq!(code(room.push(push(&room.join()))), "too_large");
}

#[test]
fn pace_obeyed() {
    let mut room = Room::new();
    let client = room.join();
    assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "taken", "Java's earliest first push");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
    assert_eq!(code(room.after(INTERVAL).get(&client.0)), "taken");
}

#[test]
fn pace_violated() {
    let mut room = Room::new();
    let client = room.join();
    assert_eq!(code(room.get(&client.0)), "throttled");
    assert_eq!(code(room.push(push(&client))), "taken");
    assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "throttled");
    assert_eq!(code(room.get(&client.0)), "throttled");
}

/// The sequence at which Apache's broker throttles every second Java client.
#[test]
fn a_client_that_learns_of_a_change_is_not_throttled_for_it() {
    let mut room = Room::new();
    let client = room.join();
    room.push(push(&client)).expect("the first push passes");
    room.admission.reconfigure(config(&["other."]));
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "unknown_subscription");
    let told = room.get(&client.0).expect("the Get after that error is excused");
    assert_ne!(told.id, client.1);
    let client = (client.0, told.id);
    assert_eq!(code(room.after(INTERVAL / 2).push(push(&client))), "taken");
    assert_eq!(code(room.push(push(&client))), "throttled");
}

#[test]
fn excuses_are_no_way_around_the_pace() {
    let room = Room::new();
    let client = room.join();
    let wrong = || Push { subscription_id: Some(client.1 ^ 1), ..push(&client) };
    assert_eq!(code(room.push(wrong())), "unknown_subscription");
    assert_eq!(code(room.get(&client.0)), "taken");
    assert_eq!(code(room.push(wrong())), "unknown_subscription");
    assert_eq!(code(room.get(&client.0)), "throttled");
    assert_eq!(code(room.push(wrong())), "throttled");
}

#[test]
fn a_terminating_push_is_never_too_soon_and_the_last() {
    let room = Room::new();
    let client = room.join();
    let id = client.0.instance_id.expect("it joined");
    room.push(push(&client)).expect("the first push passes");
    assert!(room.admission.terminated(id, WALL).is_none(), "not yet");
    assert_eq!(code(room.push(last(&client))), "taken");
    assert_eq!(code(room.push(push(&client))), "invalid_request");
    let gone = room.admission.terminated(id, WALL).expect("it said so");
    assert_eq!((gone.reason, gone.client.instance_id), (GoneReason::Terminated, Some(id)));
    assert!(room.admission.terminated(id, WALL).is_none(), "told once");
    assert!(room.admission.disconnected(ONE, WALL).is_empty());
}

#[test]
fn a_terminating_push_that_was_refused_locks_nobody_out() {
    let mut room = Room::new();
    let client = room.join();
    let refused = Push { codec: 9, ..last(&client) };
    assert_eq!(code(room.push(refused)), "unsupported_compression");
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
}

#[test]
fn a_client_is_gone_with_its_last_connection() {
    let mut room = Room::new();
    let client = room.join();
    let now = room.after(INTERVAL).now;
    let on_two = room.admission.admit(push(&client), TWO, now);
    assert_eq!(code(on_two), "taken");
    assert!(room.admission.disconnected(ONE, WALL).is_empty(), "one is left");
    let gone = room.admission.disconnected(TWO, WALL);
    assert_eq!(gone.iter().map(|gone| gone.reason).collect::<Vec<_>>(), [GoneReason::Disconnected]);
    assert_eq!(gone[0].client.instance_id, client.0.instance_id);
    assert_eq!(code(room.push(push(&client))), "throttled", "a new connection is no way around the pace");
    assert_eq!(code(room.get(&client.0)), "taken", "librdkafka asks at once on a new connection");
    let again = room.admission.disconnected(ONE, WALL);
    assert_eq!(again.len(), 1, "it was back, so it is gone again");
}

#[test]
fn whoever_terminated_may_come_back_on_a_new_connection() {
    let mut room = Room::new();
    let client = room.join();
    room.push(last(&client)).expect("it passes");
    let gone = room.admission.disconnected(ONE, WALL);
    assert_eq!(gone[0].reason, GoneReason::Terminated);
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
}

#[test]
fn ttl_obeyed() {
    let mut room = Room::new();
    let client = room.join();
    room.after(INTERVAL * 2).push(push(&client)).expect("a push re-arms the TTL");
    let now = room.after(INTERVAL * 3 - Duration::from_millis(1)).now;
    assert!(room.admission.expire(now, WALL).is_empty());
    assert_eq!(room.admission.counts().instances, 1);
}

#[test]
fn ttl_violated() {
    let mut room = Room::new();
    let client = room.join();
    let now = room.after(INTERVAL * 3).now;
    let gone = room.admission.expire(now, WALL);
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].reason, gone[0].client.instance_id), (GoneReason::Expired, client.0.instance_id));
    assert_eq!(room.admission.counts().instances, 0);
    assert!(room.admission.disconnected(ONE, WALL).is_empty(), "nothing is left of it");
}

#[test]
fn the_ttl_is_a_minute_at_least() {
    let rule = SubscriptionRule::new("s", vec![], Some(100), &[]).expect("a sound rule");
    let mut room = Room::with(Config { subscriptions: vec![rule], ..Config::default() });
    room.join();
    let now = room.after(Duration::from_millis(59_999)).now;
    assert!(room.admission.expire(now, WALL).is_empty());
    let now = room.after(Duration::from_millis(1)).now;
    assert_eq!(room.admission.expire(now, WALL).len(), 1);
}

#[test]
fn thousands_expire_in_one_go() {
    let mut room = Room::new();
    (0..2_000).for_each(|_| drop(room.join()));
    let now = room.after(INTERVAL * 3).now;
    assert_eq!(room.admission.expire(now, WALL).len(), 2_000);
}

#[test]
fn capacity_obeyed() {
    let room = Room::with(Config { capacity: 3, ..config(&["*"]) });
    (0..3).for_each(|_| drop(room.join()));
    assert_eq!(room.admission.counts(), Counts { instances: 3, evicted: 0 });
}

#[test]
fn capacity_violated() {
    let room = Room::with(Config { capacity: 3, ..config(&["*"]) });
    let clients: Vec<_> = (0..3).map(|_| room.join()).collect();
    room.push(push(&clients[0])).expect("so it is not the longest silent");
    room.join();
    assert_eq!(room.admission.counts(), Counts { instances: 3, evicted: 1 });
    let known: Vec<_> = room.admission.clients(9).iter().filter_map(|known| known.client.instance_id).collect();
    assert!(known.contains(&clients[0].0.instance_id.expect("it joined")));
    assert!(!known.contains(&clients[1].0.instance_id.expect("it joined")));
    room.admission.reconfigure(Config { capacity: 1, ..config(&["*"]) });
    assert_eq!(room.admission.counts(), Counts { instances: 1, evicted: 3 });
}

#[test]
fn a_change_serves_every_client_at_once() {
    let room = Room::new();
    let client = room.join();
    room.push(push(&client)).expect("the first push passes");
    assert_eq!(code(room.get(&client.0)), "throttled");
    room.admission.reconfigure(config(&["other."]));
    assert_eq!(code(room.get(&client.0)), "taken");
}

#[test]
fn a_change_that_changes_nothing_for_a_client_leaves_its_id() {
    let mut room = Room::new();
    let client = room.join();
    room.admission.reconfigure(config(&["org.apache.kafka."]));
    assert_eq!(code(room.after(INTERVAL).push(push(&client))), "taken");
}

/// What can happen to a room.
#[derive(Clone, Debug)]
enum Step {
    Get(u8, u64),
    Push { client: u8, connection: u64, right: bool, codec: i8, terminating: bool },
    Disconnect(u64),
    Terminated(u8),
    Wait(u64),
    Expire,
    Reconfigure(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..6u8, 0..12u64).prop_map(|(client, connection)| Step::Get(client, connection)),
        5 => (0..6u8, 0..12u64, any::<bool>(), -1..6i8, prop::bool::weighted(0.2)).prop_map(
            |(client, connection, right, codec, terminating)| Step::Push {
                client, connection, right, codec, terminating
            }
        ),
        1 => (0..12u64).prop_map(Step::Disconnect),
        1 => (0..6u8).prop_map(Step::Terminated),
        3 => (0..200_000u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
        1 => (0..4u8).prop_map(Step::Reconfigure),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_room_stays_sound(steps in prop::collection::vec(step(), 0..120)) {
        let id = |client: u8| InstanceId::from_bytes([client; 16]);
        let mut room = Room::with(Config { capacity: 4, ..config(&["*"]) });
        for step in steps {
            match step {
                Step::Get(client, connection) => {
                    let answer = room.admission.subscribe(&known(id(client)), ConnectionId(connection), room.now, WALL);
                    let answered = answer.map_or(true, |answer| client < 1 || answer.instance_id == id(client));
                    prop_assert!(answered, "an id is echoed");
                }
                Step::Push { client, connection, right, codec, terminating } => {
                    let current = room.admission.clients(9).into_iter()
                        .find(|known| known.client.instance_id == Some(id(client)))
                        .map_or(0, |known| known.subscription_id);
                    let subscription = if right { current } else { current ^ 1 };
                    let push = Push { codec, terminating, ..push(&(known(id(client)), subscription)) };
                    let judged = room.admission.admit(push, ConnectionId(connection), room.now);
                    let sound = right && (0..5).contains(&codec);
                    prop_assert!(sound || judged.is_err());
                }
                Step::Disconnect(connection) => {
                    room.admission.disconnected(ConnectionId(connection), WALL);
                    prop_assert!(room.admission.disconnected(ConnectionId(connection), WALL).is_empty());
                }
                Step::Terminated(client) => {
                    room.admission.terminated(id(client), WALL);
                    prop_assert!(room.admission.terminated(id(client), WALL).is_none());
                }
                Step::Wait(ms) => drop(room.after(Duration::from_millis(ms))),
                Step::Expire => drop(room.admission.expire(room.now, WALL)),
                Step::Reconfigure(n) => room.admission.reconfigure(Config {
                    capacity: usize::from(n) + 1,
                    ..config(&[["a", "b", "c", "*"][usize::from(n)]])
                }),
            }
            room.admission.lock().table.assert_consistent();
        }
    }

    /// A client as it should be: `jitter` of its first push after a Get, one interval between pushes, requests that
    /// the network carries in 0 to 300 ms, changes of subscription now and then, and new connections.
    #[test]
    fn who_keeps_time_is_never_throttled(
        seconds in 10..300u64,
        turns in prop::collection::vec((0.5..1.5f64, 0..300u64, prop::bool::weighted(0.2), prop::bool::weighted(0.1)), 1..60),
    ) {
        let interval = Duration::from_secs(seconds);
        let config = |metric: &str| {
            let rule = SubscriptionRule::new("s", vec![metric.into()], Some(seconds * 1_000), &[]);
            Config { subscriptions: vec![rule.expect("a sound rule")], ..Config::default() }
        };
        let mut room = Room::with(config("a"));
        let mut client = room.join();
        // The client's own clock: requests arrive `delay` after it.
        let mut sent = room.now;
        let mut asked = true;
        for (turn, (jitter, delay, change, reconnect)) in turns.into_iter().enumerate() {
            sent += if asked { interval.mul_f64(jitter) } else { interval };
            room.now = sent + Duration::from_millis(delay.min(seconds * 1_000 / 25));
            if change {
                room.admission.reconfigure(config(["a", "b"][turn % 2]));
            }
            asked = false;
            if reconnect {
                room.admission.disconnected(ONE, WALL);
            } else {
                match room.push(push(&client)) {
                    Ok(_) => continue,
                    Err(Refusal::UnknownSubscription { .. }) => {}
                    Err(refusal) => prop_assert!(false, "{refusal}"),
                }
            }
            let answer = room.get(&client.0);
            prop_assert!(answer.is_ok(), "{answer:?}");
            client.1 = answer.expect("asserted").id;
            (sent, asked) = (room.now, true);
        }
    }
}

#[test]
fn an_operator_sees_what_a_client_did() {
    let room = Room::new();
    let client = room.join();
    let id = client.0.instance_id.expect("it joined");
    let later = WALL + INTERVAL;
    room.push(Push { received_at: later, ..push(&client) }).expect("the first push passes");
    assert_eq!(code(room.push(Push { received_at: later, ..push(&client) })), "throttled");
    let known = room.admission.client(id).expect("it is known");
    assert_eq!((known.gets, known.pushes, known.refused), (1, 2, 1));
    assert_eq!(known.last_refusal, Some(("throttled", later)));
    assert_eq!((known.since, known.last_seen), (WALL, later));
    assert_eq!((known.connections, known.gone), (1, false));
    assert_eq!(known.subscriptions, [Arc::from("s")]);
    assert_eq!(known.metrics.as_ref(), [Arc::from("org.apache.kafka.")]);
    room.admission.disconnected(ONE, WALL);
    let known = room.admission.client(id).expect("it is known");
    assert_eq!((known.connections, known.gone), (0, true));
    assert!(room.admission.client(InstanceId::from_bytes([9; 16])).is_none());
}

#[test]
fn a_forecast_tells_whom_a_change_concerns_and_when() {
    let rule = |name: &str, metric: &str, id: &str| {
        let matches = [("client_id".to_owned(), id.to_owned())];
        SubscriptionRule::new(name, vec![metric.into()], Some(60_000), &matches).expect("a sound rule")
    };
    let with = |rules: Vec<SubscriptionRule>| Config { subscriptions: rules, ..Config::default() };
    let room = Room::with(with(vec![rule("a", "x.", "a.*")]));
    for (id, connection) in [("a1", 1), ("a2", 2), ("b1", 3), ("gone", 4)] {
        let client = Arc::new(Client { client_id: Some(id.into()), ..Client::default() });
        room.admission.subscribe(&client, ConnectionId(connection), room.now, WALL).expect("a first Get");
    }
    room.admission.disconnected(ConnectionId(4), WALL);
    let told = |rules, name: &str| room.admission.forecast(&with(rules), name);
    let same = told(vec![rule("a", "x.", "a.*")], "a");
    assert_eq!(same, Forecast { clients: 3, matching: 2, changed: 0, by: Duration::ZERO });
    let one = told(vec![rule("a", "x.", "a.*"), rule("b", "y.", "a1")], "b");
    assert_eq!(one, Forecast { clients: 3, matching: 1, changed: 1, by: INTERVAL * 3 / 2 });
    let idle = told(vec![rule("a", "x.", "a.*|b1")], "a");
    assert_eq!(idle, Forecast { clients: 3, matching: 3, changed: 1, by: Duration::from_secs(450) });
    assert_eq!(told(Vec::new(), "a").changed, 2);
}
