//! Two kinds of clients and two receivers: one receives the pushes as sent, the other in normalised form.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use barnabas_base::InstanceId;
use barnabas_tests::host::{RunningHost, Setup};
use barnabas_tests::raw::RawClient;
use barnabas_tests::sink::{self, OtlpSink};
use barnabas_tests::vectors::{self, Vector};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

const PATIENCE: Duration = Duration::from_secs(20);

/// Pushes once, and returns the client instance id.
async fn push(host: &RunningHost, client_id: &str, vector: &Vector) -> String {
    let mut client = RawClient::connect(host.kafka(), client_id).await;
    client.api_versions("some-client").await;
    let subscribed = client.subscribe(InstanceId::NIL).await.unwrap();
    assert_eq!(client.push(&subscribed, vector.codec, &vector.wire, false).await, Some(0), "{}", vector.name);
    subscribed.instance.to_string()
}

/// What a sink received from one client.
#[derive(Debug, Default)]
struct SinkView {
    points: usize,
    nans: usize,
    names: Vec<String>,
    labels: BTreeSet<String>,
}

fn seen(sink: &OtlpSink) -> BTreeMap<String, SinkView> {
    let mut all = BTreeMap::<String, SinkView>::new();
    for resource in sink.received().iter().flat_map(|r| &r.request.resource_metrics) {
        let id = sink::labels(resource)["client_instance_id"].clone();
        let seen = all.entry(id).or_default();
        for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            seen.names.push(metric.name.clone());
            let points = match metric.data.as_ref().unwrap() {
                Data::Gauge(gauge) => &gauge.data_points,
                Data::Sum(sum) => &sum.data_points,
                other => panic!("unexpected {other:?}"),
            };
            seen.points += points.len();
            seen.nans += points.iter().filter(|p| matches!(p.value, Some(Value::AsDouble(v)) if v.is_nan())).count();
            seen.labels.extend(points.iter().flat_map(|point| &point.attributes).map(|label| label.key.clone()));
        }
    }
    all
}

async fn arrived(sink: &OtlpSink, clients: usize) -> BTreeMap<String, SinkView> {
    barnabas_tests::eventually("all clients at the sink", PATIENCE, || {
        Some(seen(sink)).filter(|seen| seen.len() == clients)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_receiver_gets_normalised_pushes_and_the_other_the_original() {
    let (plain, one_spelling) = (OtlpSink::start().await, OtlpSink::start().await);
    let setup = Setup::new().forwarding("plain", &plain.url()).forwarding("spelt", &one_spelling.url());
    let file = setup.folder().join("plugins.d/spelt.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let setup = setup.manifest("spelt", &format!("normalise = {{ admin-clients = [\"tool-.*\"] }}\n{text}"));
    let host = setup.start().await;
    let java = push(&host, "java", &vectors::one("java-4.0-producer-cumulative.zstd-1")).await;
    let rdkafka = vectors::one("librdkafka-2.16-producer-cumulative.zstd-1");
    let (producer, admin) = (push(&host, "orders", &rdkafka).await, push(&host, "tool-1", &rdkafka).await);

    let (sent, spelt) = (arrived(&plain, 3).await, arrived(&one_spelling, 3).await);
    assert_eq!((sent[&java].points, sent[&producer].points), (86, 10));
    assert!(sent[&java].nans > 0 && sent[&producer].labels.contains("node.id"), "{sent:?}");
    assert_eq!(spelt[&java].points, 86 - sent[&java].nans);
    assert_eq!((spelt[&java].nans, spelt[&producer].points), (0, 10));
    assert_eq!(spelt[&producer].labels, BTreeSet::from(["node_id".to_owned()]));
    let distinct: BTreeSet<_> = spelt[&java].names.iter().collect();
    assert_eq!(distinct.len(), spelt[&java].names.len(), "each metric once");
    let all = |names: &[String], prefix: &str| names.iter().all(|name| name.starts_with(prefix));
    assert!(all(&spelt[&admin].names, "org.apache.kafka.admin.client."), "{:?}", spelt[&admin]);
    assert!(all(&spelt[&producer].names, "org.apache.kafka.producer."), "{:?}", spelt[&producer]);
    assert!(all(&sent[&admin].names, "org.apache.kafka.producer."), "{:?}", sent[&admin]);
    for (name, normalised) in [("plain", false), ("spelt", true)] {
        let serving = host.status(name).serving.unwrap();
        assert_eq!((serving.normalised, serving.stats.not_normalised), (normalised, 0));
    }
    host.stop().await;
}
