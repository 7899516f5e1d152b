//! The client pages of the admin API and of the CLI, for unmodified clients.

use std::time::Duration;

use barnabas_tests::command;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::librdkafka::{self, LogListener};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::BaseProducer;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(40);

/// Two clients with acknowledged pushes, and their instance ids according to their own logs.
struct ClientPair {
    producer: BaseProducer<LogListener>,
    consumer: BaseConsumer<LogListener>,
    ids: [String; 2],
}

impl ClientPair {
    async fn connect(host: &RunningHost) -> Self {
        let (producer, producer_ear) = librdkafka::producer(&host.bootstrap(), "orders-producer");
        let (consumer, consumer_ear) = librdkafka::consumer(&host.bootstrap(), "orders-consumer");
        consumer.subscribe(&["orders"]).unwrap();
        let ids = barnabas_tests::eventually("both clients' own logs", PATIENCE, || {
            producer.poll(Duration::ZERO);
            let _ = consumer.poll(Duration::ZERO);
            let said = [producer_ear.snapshot(), consumer_ear.snapshot()];
            let enough = said.iter().all(|said| said.acknowledged >= 2);
            enough.then(|| said.map(|said| said.instance_id.expect("the client logs its assigned id")))
        })
        .await;
        Self { producer, consumer, ids }
    }

    async fn leave(self) {
        tokio::task::spawn_blocking(move || drop((self.producer, self.consumer))).await.unwrap();
    }
}

/// The output of the command, which connects to the host's admin socket.
async fn command_output(host: &RunningHost, arguments: &[&str]) -> String {
    let socket = host.folder().join("data/admin.sock").display().to_string();
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).chain(["--admin".into(), socket]).collect();
    let run = move || command::stdout(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.unwrap()
}

async fn json(host: &RunningHost, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&command_output(host, &arguments).await).unwrap()
}

fn len(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn unmodified_clients_are_listed_and_described() {
    let host = Setup::new().receiver("taker", "taker", "").start().await;
    let pair = ClientPair::connect(&host).await;

    let list = json(&host, &["client", "list"]).await;
    assert_eq!((&list["known"], &list["matching"]), (&Value::from(2), &Value::from(2)), "{list}");
    for (id, name, role) in
        [(&pair.ids[0], "orders-producer", "producer"), (&pair.ids[1], "orders-consumer", "consumer")]
    {
        let clients = list["clients"].as_array().unwrap();
        let client = clients.iter().find(|client| client["id"] == **id).unwrap_or_else(|| panic!("{id} in {list}"));
        assert_eq!((&client["client_id"], &client["software_name"]), (&name.into(), &"librdkafka".into()));
        assert_eq!(client["role"], role, "{client}");
        assert!(client["pushes"].as_u64() >= Some(2), "{client}");
    }
    let sought = json(&host, &["client", "list", "--client-id", "orders-p", "--software", "rdkafka"]).await;
    assert_eq!((&sought["matching"], &sought["clients"][0]["id"]), (&Value::from(1), &pair.ids[0].clone().into()));

    for (id, standard) in [(&pair.ids[0], 5), (&pair.ids[1], 10)] {
        // A metric without a value yet arrives in a later push, and the host does not inspect every push.
        let described = barnabas_tests::eventually("its metrics", PATIENCE, || {
            pair.producer.poll(Duration::ZERO);
            let _ = pair.consumer.poll(Duration::ZERO);
            let client = host.host.reception.client(id.parse().unwrap())?;
            client.metrics.filter(|metrics| metrics.required_missing.is_empty() && metrics.standard.len() == standard)
        })
        .await;
        assert_eq!(described.required_present.len(), 3, "{described:?}");
        let client = json(&host, &["client", "describe", id]).await;
        assert_eq!(len(&client["metrics"]["required_present"]), 3, "{client}");
        for none in ["required_missing", "unknown"] {
            assert_eq!(len(&client["metrics"][none]), 0, "{client}");
        }
        assert_eq!(client["metric_prefixes"], Value::from(vec![""]));
        let hex = client["id_hex"].as_str().unwrap().to_owned();
        let page = command_output(&host, &["client", "describe", &hex]).await;
        assert!(page.contains(&**id) && page.contains("required, present: 3"), "{page}");
    }
    let page = command_output(&host, &["client", "list", "--limit", "1"]).await;
    assert!(page.contains("showing 1 of 2 matching clients"), "{page}");
    pair.leave().await;
    host.stop().await;
}
