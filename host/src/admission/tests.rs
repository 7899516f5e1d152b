use bytes::Bytes;

mod answers;
mod bounds;
mod conformance;
mod forgetting;
mod leaving;
mod looking;
mod matching;
mod oversize;
mod pushes;
mod quotas;
mod sound;

use std::time::Duration;

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

    /// A terminating push through this connection, which the later rooms take.
    fn leave(&self, client: &(Arc<Client>, i32), on: ConnectionId) -> Option<Departed> {
        self.admission.admit(last(client), on, self.now).expect("a terminating push is never too soon");
        self.admission.terminated(client.0.instance_id?, on, WALL)
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
    Config { subscriptions: vec![rule], ..open() }
}

/// Without quotas, which have tests of their own.
fn open() -> Config {
    let all = Rates { new_clients: u32::MAX, pushes: u32::MAX, push_bytes: None };
    let quotas = Quotas { connection: all, source: all, principals: Default::default() };
    Config { quotas, ..Config::default() }
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
        format: crate::push::Format::Protobuf,
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
