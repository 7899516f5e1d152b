use bytes::Bytes;

mod assignments;
mod bounds;
mod conformance;
mod evicting;
mod leaving;
mod listing;
mod matching;
mod oversize;
mod pushes;
mod quotas;
mod sound;

use std::time::Duration;

use super::*;
use crate::push::Ingress;

const INTERVAL: Duration = Duration::from_secs(60);
const WALL: SystemTime = SystemTime::UNIX_EPOCH;
const ONE: ConnectionId = ConnectionId(1);
const TWO: ConnectionId = ConnectionId(2);

/// An admission, and a time that the test advances.
struct AdmissionFixture {
    admission: Admission,
    now: Instant,
}

impl AdmissionFixture {
    fn new() -> Self {
        Self::with_config(config(&["org.apache.kafka."]))
    }

    fn with_config(config: AdmissionConfig) -> Self {
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

    fn subscribe(&self, client: &Arc<Client>) -> Result<ClientSubscription, Refusal> {
        self.admission.subscribe(client, ONE, self.now, WALL)
    }

    fn push(&self, push: Push) -> Result<Admitted, Refusal> {
        self.admission.admit(push, ONE, self.now)
    }

    /// A terminating push through this connection, which the later stages accept.
    fn leave(&self, client: &(Arc<Client>, i32), on: ConnectionId) -> Option<DepartedClient> {
        self.admission.admit(terminating_push(client), on, self.now).expect("a terminating push is never too early");
        self.admission.terminated(client.0.instance_id?, on, WALL)
    }

    /// A client whose first GetTelemetrySubscriptions was answered.
    fn join(&self) -> (Arc<Client>, i32) {
        let subscription = self.subscribe(&new_client()).expect("the first Get is allowed");
        (client_with_id(subscription.instance_id), subscription.id)
    }
}

fn config(metrics: &[&str]) -> AdmissionConfig {
    let metrics = metrics.iter().map(|metric| (*metric).to_owned()).collect();
    let rule = SubscriptionRule::new("s", metrics, Some(INTERVAL.as_millis() as u64), &[]).expect("a valid rule");
    AdmissionConfig { subscriptions: vec![rule], ..without_quotas() }
}

/// Without quotas, which have tests of their own.
fn without_quotas() -> AdmissionConfig {
    let all = Rates { new_clients: u32::MAX, pushes: u32::MAX, push_bytes: None };
    let quotas = Quotas { connection: all, source: all, principals: Default::default() };
    AdmissionConfig { quotas, ..AdmissionConfig::default() }
}

fn new_client() -> Arc<Client> {
    Arc::new(Client { client_id: Some(Arc::from("c")), ..Client::default() })
}

fn client_with_id(id: InstanceId) -> Arc<Client> {
    Arc::new(Client { instance_id: Some(id), ..Client::clone(&new_client()) })
}

fn push((client, subscription_id): &(Arc<Client>, i32)) -> Push {
    Push {
        client: client.clone(),
        ingress: Ingress::Kafka,
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

fn terminating_push(client: &(Arc<Client>, i32)) -> Push {
    Push { terminating: true, ..push(client) }
}

fn code<T>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.map_or_else(|refusal| refusal.code(), |_| "admitted")
}
