//! The table, the recorded pushes, and the bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::UNIX_EPOCH;

use barnabas_otlp::message::{Metric as Sent, MetricsData, ResourceMetrics, ScopeMetrics, metric::Data};
use barnabas_otlp::walk;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::admission::Admitted;
use crate::decode::{Decoded, Decoder};
use crate::push::{Push, sample as recorded};
use barnabas_base::Codec;

fn id(n: u128) -> InstanceId {
    InstanceId::from_bytes(n.to_be_bytes())
}

/// A payload of metrics with these names.
fn payload<S: AsRef<str>>(names: &[S]) -> Vec<u8> {
    let metric = |name: &S| Sent { name: name.as_ref().into(), ..Sent::default() };
    let scope = ScopeMetrics { metrics: names.iter().map(metric).collect(), ..ScopeMetrics::default() };
    MetricsData { resource_metrics: vec![ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() }] }
        .encode_to_vec()
}

/// All names sampled so far.
fn names(catalogue: &Catalogue, id: InstanceId) -> Vec<String> {
    catalogue.sent_metrics(id).map(|seen| seen.names.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

fn push<S: AsRef<str>>(catalogue: &Catalogue, id: InstanceId, names: &[S]) {
    catalogue.record_push(id, 7, &payload(names), UNIX_EPOCH);
}

/// Recorded pushes by file name, decompressed and checked.
fn vectors() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let recorded = files.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
    recorded.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), payload_of(&path))).collect()
}

fn payload_of(path: &Path) -> Vec<u8> {
    let word = path.file_stem().unwrap().to_string_lossy().rsplit('.').next().unwrap().to_owned();
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];
    let codec = codecs.into_iter().find(|codec| word.starts_with(&codec.to_string())).unwrap();
    let push = Push { codec: codec.id(), ..recorded::from_bytes(std::fs::read(path).unwrap().into()) };
    match Decoder::default().decode(Admitted::declared(push).unwrap()).unwrap() {
        Decoded::Payload(payload) => payload.bytes().to_vec(),
        Decoded::Empty => panic!("{} is empty", path.display()),
    }
}

/// Name and data type of every metric, as the reference decoder reads them.
fn metrics(bytes: &[u8]) -> Vec<(String, MetricDataType)> {
    let blocks = MetricsData::decode(bytes).unwrap().resource_metrics;
    let metrics = blocks.into_iter().flat_map(|block| block.scope_metrics).flat_map(|scope| scope.metrics);
    let form = |metric: &Sent| match metric.data {
        Some(Data::Sum(_)) => MetricDataType::Sum,
        _ => MetricDataType::Gauge,
    };
    metrics.map(|metric| (metric.name.clone(), form(&metric))).collect()
}

#[test]
fn the_table_is_that_of_the_kip() {
    let names: BTreeSet<_> = STANDARD_METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), 21, "each name once");
    let count =
        |wanted: &dyn Fn(&StandardMetric) -> bool| STANDARD_METRICS.iter().filter(|metric| wanted(metric)).count();
    assert_eq!((count(&|m| m.role == ClientRole::Producer), count(&|m| m.role == ClientRole::Consumer)), (8, 13));
    assert_eq!((count(&|m| m.required), count(&|m| m.required && m.role == ClientRole::Producer)), (6, 3));
    assert_eq!((count(&|m| m.data_type == MetricDataType::Sum), count(&|m| !m.labels.is_empty())), (3, 4));
    for metric in STANDARD_METRICS {
        assert!(metric.name.starts_with(metric.role.prefix()), "{}", metric.name);
        assert_eq!(metric.data_type == MetricDataType::Sum, metric.name.ends_with(".total"), "{}", metric.name);
        assert_eq!(metric.unit.is_some(), [".latency.", ".time."].iter().any(|word| metric.name.contains(word)));
        assert_eq!(metric.labels == ["node_id"], metric.name.contains(".node."), "{}", metric.name);
        let origin = if metric.required { MetricOrigin::Required } else { MetricOrigin::Standard };
        assert_eq!(lookup(metric.name), Some(KnownMetric { origin, data_type: Some(metric.data_type) }));
    }
}

#[test]
fn nonstandard_names_are_known_with_their_origin() {
    let kind = |name: &str| lookup(&format!("org.apache.kafka.{name}")).map(|known| known.origin);
    for (name, expected) in [
        ("producer.txn.send.offsets.time.ns.total", Some(MetricOrigin::Java)),
        ("producer.request.latency.avg", Some(MetricOrigin::Java)),
        ("admin.client.node.request.latency.max", Some(MetricOrigin::Java)),
        ("consumer.fetch.manager.records.lag", Some(MetricOrigin::Java)),
        ("consumer.fetch.manager.records.lead.min", Some(MetricOrigin::Java)),
        ("kafka.count.count", Some(MetricOrigin::Java)),
        ("consumer.share.fetch.manager.fetch.total", Some(MetricOrigin::Librdkafka)),
        ("stream.thread.poll.rate", Some(MetricOrigin::Streams)),
        ("stream", None),
        ("producer.of.mine", None),
        ("producer.connection.creation.totals", None),
        ("", None),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
    assert_eq!(lookup("orders.in.flight"), None, "a metric of an application");
    assert!(known_metrics::known_names().all(|name| name.len() * 2 < pushed_names::MAX_NAME_BYTES));
    assert!(known_metrics::known_names().count() * 2 < NameBounds::default().names, "there is space for other names");
}

#[test]
fn every_name_of_every_recorded_push_is_known() {
    let vectors = vectors();
    assert!(vectors.len() >= 23, "{}", vectors.len());
    for (file, bytes) in vectors {
        for (name, form) in metrics(&bytes) {
            let known = lookup(&name).unwrap_or_else(|| panic!("{file}: {name} is unknown"));
            assert_eq!(known.data_type, Some(form), "{file}: {name}");
        }
    }
}

#[test]
fn a_recorded_push_has_the_names_of_the_reference_decoder_and_its_clients_role() {
    for (file, bytes) in vectors() {
        let expected: Vec<String> = metrics(&bytes).into_iter().map(|(name, _)| name).collect();
        assert_eq!(walk::names(&bytes).collect::<Vec<_>>(), expected, "{file}");
        let catalogue = Catalogue::new(1);
        catalogue.record_push(id(1), 7, &bytes, UNIX_EPOCH);
        let once: BTreeSet<_> = expected.into_iter().collect();
        assert_eq!(names(&catalogue, id(1)), once.into_iter().collect::<Vec<_>>(), "{file}");
        let role = if file.contains("producer") { ClientRole::Producer } else { ClientRole::Consumer };
        assert_eq!(ClientRole::from_names(&catalogue.sent_metrics(id(1)).unwrap().names), Some(role), "{file}");
    }
}

#[test]
fn few_pushes_are_sampled_and_each_get_restarts_the_count() {
    let catalogue = Catalogue::new(1);
    catalogue.record_subscription(id(1), 7);
    assert_eq!(catalogue.sent_metrics(id(1)), None);
    let looked = |catalogue: &Catalogue, nth: usize| {
        push(catalogue, id(1), &[format!("{nth:03}")]);
        names(catalogue, id(1)).contains(&format!("{nth:03}"))
    };
    let at: Vec<usize> = (1..=50).filter(|nth| looked(&catalogue, *nth)).collect();
    assert_eq!(at, [1, 2, 4, 8, 16, 32, 48]);
    catalogue.record_subscription(id(1), 7);
    assert_eq!(names(&catalogue, id(1)).len(), 7, "the same subscription keeps the union");
    assert!(looked(&catalogue, 51), "the first push after a GetTelemetrySubscriptions");
}

#[test]
fn the_names_of_a_client_accumulate_until_its_subscription_changes() {
    let catalogue = Catalogue::new(1);
    push(&catalogue, id(1), &["a", "b"]);
    catalogue.record_subscription(id(1), 7);
    push(&catalogue, id(1), &["b", "", "c"]);
    push(&catalogue, id(1), &[""; 0]);
    assert_eq!(
        names(&catalogue, id(1)),
        ["a", "b", "c"],
        "a client that failed over from another host pushes before it asks here"
    );
    catalogue.record_subscription(id(1), 8);
    assert_eq!(catalogue.sent_metrics(id(1)), None, "another subscription starts a new union");
    push(&catalogue, id(1), &["c"]);
    assert_eq!(names(&catalogue, id(1)), ["c"]);
    catalogue.record_push(id(1), 9, &payload(&["d"]), UNIX_EPOCH);
    assert_eq!(names(&catalogue, id(1)), ["d"], "its subscription was requested from another host");
    catalogue.remove(id(1));
    assert_eq!(catalogue.sent_metrics(id(1)), None);
}

#[test]
fn clients_that_send_the_same_names_share_one_set() {
    let catalogue = Catalogue::new(9);
    for n in 1..=9 {
        push(&catalogue, id(n), &["a", "b"]);
    }
    let (first, last) = (catalogue.sent_metrics(id(1)).unwrap(), catalogue.sent_metrics(id(9)).unwrap());
    assert!(Arc::ptr_eq(&first.names, &last.names));
    assert_eq!(catalogue.lock().sets.counts().1, 1);
}

/// Bounds with space for this many names in addition to the known ones.
fn bounded(names: usize, sets: usize, in_set: usize) -> Catalogue {
    Catalogue::with_bounds(
        4,
        NameBounds { names: known_metrics::known_names().count() + names, sets, names_per_set: in_set },
    )
}

#[test]
fn limits_of_names_and_sets_obeyed() {
    let catalogue = bounded(4, 2, 3);
    push(&catalogue, id(1), &["a", "b", "c"]);
    push(&catalogue, id(2), &["d", STANDARD_METRICS[0].name]);
    for (id, count) in [(id(1), 3), (id(2), 2)] {
        let seen = catalogue.sent_metrics(id).unwrap();
        assert_eq!((seen.names.len(), seen.not_kept), (count, 0));
    }
}

#[test]
fn limit_of_names_violated() {
    let catalogue = bounded(4, 9, 9);
    push(&catalogue, id(1), &["a", "b", "c", "d"]);
    push(&catalogue, id(2), &["e", STANDARD_METRICS[0].name, "a"]);
    let seen = catalogue.sent_metrics(id(2)).unwrap();
    assert_eq!((names(&catalogue, id(2)).len(), seen.not_kept), (2, 1), "known names are always stored");
    assert!(seen.names.iter().any(|name| **name == *STANDARD_METRICS[0].name));
    catalogue.remove(id(1));
    push(&catalogue, id(2), &["e"]);
    assert_eq!(
        (names(&catalogue, id(2)).len(), catalogue.sent_metrics(id(2)).unwrap().not_kept),
        (3, 0),
        "there is space again"
    );
}

#[test]
fn limit_of_sets_violated() {
    let catalogue = bounded(9, 2, 9);
    push(&catalogue, id(1), &["a"]);
    push(&catalogue, id(2), &["b"]);
    push(&catalogue, id(3), &["c", "d"]);
    assert_eq!((names(&catalogue, id(3)).len(), catalogue.sent_metrics(id(3)).unwrap().not_kept), (0, 2));
    push(&catalogue, id(4), &["a"]);
    assert_eq!(names(&catalogue, id(4)), ["a"], "an existing set may be shared");
    catalogue.remove(id(2));
    push(&catalogue, id(3), &["c", "d"]);
    assert_eq!(
        (names(&catalogue, id(3)).len(), catalogue.sent_metrics(id(3)).unwrap().not_kept),
        (2, 0),
        "there is space again"
    );
}

#[test]
fn limit_of_names_in_a_set_violated() {
    let catalogue = bounded(9, 9, 2);
    push(&catalogue, id(1), &["a", "b", "c"]);
    assert_eq!((names(&catalogue, id(1)).len(), catalogue.sent_metrics(id(1)).unwrap().not_kept), (2, 1));
}

#[test]
fn limits_of_one_push_violated() {
    let many: Vec<String> = (0..pushed_names::MAX_NAMES + 2).map(|n| format!("n{n}")).collect();
    let long = "n".repeat(pushed_names::MAX_NAME_BYTES + 1);
    let fits = &long[1..];
    let bytes = payload(&[many.clone(), many[..9].to_vec()].concat());
    let sample = PushedNames::from_payload(&bytes);
    assert_eq!((sample.names.len(), sample.skipped), (pushed_names::MAX_NAMES, 2));
    let bytes = payload(&[&long, fits]);
    let sample = PushedNames::from_payload(&bytes);
    assert_eq!((sample.names.len(), sample.skipped), (1, 1));
}

#[test]
fn limit_of_clients_violated() {
    let catalogue = Catalogue::new(2);
    for n in 1..=3 {
        push(&catalogue, id(n), &["a"]);
    }
    assert_eq!(
        (catalogue.sent_metrics(id(1)), catalogue.lock().clients.len()),
        (None, 2),
        "the least recently active is evicted"
    );
    assert!(catalogue.sent_metrics(id(2)).is_some() && catalogue.sent_metrics(id(3)).is_some());
}

#[test]
fn a_flood_of_gets_evicts_no_client() {
    let catalogue = Catalogue::new(2);
    push(&catalogue, id(1), &["a"]);
    push(&catalogue, id(2), &["b"]);
    for invented in 3..100 {
        catalogue.record_subscription(id(invented), 7);
    }
    assert_eq!((names(&catalogue, id(1)), names(&catalogue, id(2))), (vec!["a".to_owned()], vec!["b".to_owned()]));
    assert_eq!(catalogue.lock().clients.len(), 2);
}

proptest! {
    /// Whatever the order of operations, the tables stay within their bounds and clients' names are a union.
    #[test]
    fn bounds_hold(steps in proptest::collection::vec((1..7u128, 0..12u8, 0..4u8), 0..80)) {
        let catalogue = bounded(6, 3, 4);
        for (client, name, what) in steps {
            match what {
                0 => catalogue.remove(id(client)),
                1 => catalogue.record_subscription(id(client), i32::from(name % 2)),
                _ => push(&catalogue, id(client), &[format!("n{name}"), format!("n{}", name / 2)]),
            }
            let state = catalogue.lock();
            let (names, sets) = state.sets.counts();
            prop_assert!(names <= known_metrics::known_names().count() + 6 && sets <= 3 && state.clients.len() <= 4);
            for (_, entry) in &state.clients {
                prop_assert!(entry.names.len() <= 4 && entry.names.is_sorted());
            }
        }
    }
}
