mod bounds;
mod many;
mod setup;

use std::time::{Duration, Instant, SystemTime};

use super::testing::{delete, file_config, set, setup, subscriptions};
use super::*;
use barnabas_base::InstanceId;
use barnabas_pipeline::push::{Client, ConnectionId};
use barnabas_storage::audit::AuditAction;

/// The first Get of client `c`.
fn first_get(admission: &Admission) -> (InstanceId, Vec<String>, Duration) {
    get(admission, None)
}

fn get(admission: &Admission, id: Option<InstanceId>) -> (InstanceId, Vec<String>, Duration) {
    let client = Client { instance_id: id, client_id: Some("c".into()), ..Client::default() };
    let connection = ConnectionId(1);
    let outcome = admission.subscribe(&Arc::new(client), connection, Instant::now(), SystemTime::now()).expect("a Get");
    (outcome.instance_id, outcome.metrics.iter().map(ToString::to_string).collect(), outcome.push_interval)
}

fn op(key: &str, kind: EntryOpKind, value: &str) -> EntryOp {
    EntryOp { key: key.into(), kind, value: Some(value.into()) }
}

#[track_caller]
fn alter(book: &Subscriptions, name: &str, ops: &[EntryOp]) -> AlterOutcome {
    book.alter(name, ops, false).unwrap_or_else(|refused| panic!("{refused:?}"))
}

/// Value and source of each key, in order.
fn values_and_sources(book: &Subscriptions, name: &str) -> Vec<(String, ValueSource)> {
    let described = book.describe(name).expect("it exists");
    described.entries.iter().map(|entry| (entry.value().to_owned(), entry.source())).collect()
}

fn from_file() -> (Subscriptions, Arc<Admission>) {
    let (_, admission) = subscriptions();
    let config = file_config("s", &["a.", "b."], 60_000, &[("client_id", "c")]);
    (Subscriptions::open(SubscriptionsSetup { config, ..testing::setup(&admission) }).unwrap(), admission)
}

#[test]
fn altered_keys_override_the_file_and_deleting_them_restores_it() {
    let (book, admission) = from_file();
    let file = ValueSource::File;
    assert_eq!(
        values_and_sources(&book, "s"),
        [("a.,b.".into(), file), ("60000".into(), file), ("client_id=c".into(), file)]
    );
    alter(&book, "s", &[set("interval.ms", "30000")]);
    let dynamic = ("30000".to_owned(), ValueSource::Dynamic);
    assert_eq!(values_and_sources(&book, "s"), [("a.,b.".into(), file), dynamic, ("client_id=c".into(), file)]);
    let interval = book.describe("s").unwrap().entries[1].clone();
    let synonyms = [(ValueSource::Dynamic, "30000"), (file, "60000"), (ValueSource::Default, "300000")];
    assert_eq!(interval.synonyms, synonyms.map(|(source, text)| (source, text.to_owned())));
    let (_, metrics, every) = first_get(&admission);
    assert_eq!((metrics, every), (vec!["a.".into(), "b.".into()], Duration::from_secs(30)));
    let back = alter(&book, "s", &[delete("interval.ms")]);
    assert!(back.message.unwrap().contains("`interval.ms` is the configuration file's value again"));
    assert_eq!(values_and_sources(&book, "s")[1], ("60000".into(), file));
    assert_eq!(first_get(&admission).2, Duration::from_secs(60));
}

#[test]
fn a_subscription_exists_as_long_as_it_has_a_key() {
    let (book, admission) = subscriptions();
    alter(&book, "x", &[set("metrics", "a.")]);
    assert_eq!(book.list(), ["x".into()]);
    let default = |text: &str| (text.to_owned(), ValueSource::Default);
    assert_eq!(values_and_sources(&book, "x"), [("a.".into(), ValueSource::Dynamic), default("300000"), default("")]);
    assert_eq!(first_get(&admission).1, ["a."]);
    // What Kafka's tool sends to delete it.
    alter(&book, "x", &[delete("metrics"), delete("interval.ms"), delete("match")]);
    assert_eq!((book.list().len(), book.describe("x")), (0, None));
    assert_eq!(first_get(&admission).1, [""; 0]);
    let again = alter(&book, "x", &[delete("metrics")]);
    assert_eq!(again.message.unwrap(), "nothing changed");
    assert!(!again.changed, "as Kafka has it");
}

#[test]
fn an_empty_list_differs_from_an_absent_one() {
    let (book, admission) = from_file();
    alter(&book, "s", &[set("metrics", "")]);
    assert_eq!(values_and_sources(&book, "s")[0], (String::new(), ValueSource::Dynamic));
    let (_, metrics, every) = first_get(&admission);
    assert_eq!((metrics.len(), every), (0, Duration::from_secs(60)), "its interval is effective");
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let (book, admission) = from_file();
    alter(&book, "s", &[op("metrics", EntryOpKind::Append, "b., c.")]);
    assert_eq!(values_and_sources(&book, "s")[0].0, "a.,b.,c.", "the file's elements, and the new one");
    alter(&book, "s", &[op("metrics", EntryOpKind::Subtract, "a.,nothing")]);
    assert_eq!(values_and_sources(&book, "s")[0].0, "b.,c.");
    assert_eq!(first_get(&admission).1, ["b.", "c."]);
    alter(&book, "s", &[op("match", EntryOpKind::Append, "client_source_port=1=1")]);
    assert_eq!(values_and_sources(&book, "s")[2].0, "client_id=c,client_source_port=1=1", "split at the first `=`");
    assert_eq!(first_get(&admission).1, [""; 0]);
    alter(&book, "s", &[op("match", EntryOpKind::Subtract, "client_source_port=1=1")]);
    assert_eq!(first_get(&admission).1, ["b.", "c."]);
}

#[test]
fn a_files_pattern_may_hold_a_comma() {
    let (_, admission) = subscriptions();
    let config = file_config("s", &["a."], 60_000, &[("client_id", "c{1,3}")]);
    let book = Subscriptions::open(SubscriptionsSetup { config, ..testing::setup(&admission) }).unwrap();
    assert_eq!(first_get(&admission).1, ["a."]);
    alter(&book, "s", &[op("match", EntryOpKind::Append, "client_id=c")]);
    assert_eq!(values_and_sources(&book, "s")[2].0, "client_id=c{1,3},client_id=c");
}

#[test]
fn each_mistake_has_its_error() {
    let (book, _) = from_file();
    let refused = |name: &str, ops: &[EntryOp]| book.alter(name, ops, false).expect_err("a mistake");
    let long = "n".repeat(300);
    let requests: &[(&str, &[EntryOp])] = &[
        ("", &[set("metrics", "a.")]),
        (&long, &[set("metrics", "a.")]),
        ("a\nb", &[set("metrics", "a.")]),
        ("s", &[set("interval", "60000")]),
        ("s", &[delete("interval")]),
        ("s", &[set("interval.ms", "99")]),
        ("s", &[set("interval.ms", "3600001")]),
        ("s", &[set("interval.ms", "-1")]),
        ("s", &[set("interval.ms", "soon")]),
        ("s", &[set("interval.ms", "")]),
        ("s", &[set("metrics", "a."), delete("metrics")]),
    ];
    for (name, ops) in requests {
        assert!(matches!(refused(name, ops), AlterError::Request(_)), "{name} {ops:?}");
    }
    let null = |kind| EntryOp { key: "metrics".into(), kind, value: None };
    let configs = [
        set("match", "client_id"),
        set("match", "client=c"),
        set("match", "client_id="),
        set("match", "client_id=("),
        set("match", "client_id=a,"),
        set("match", "client_id=a,client_id=a"),
        set("metrics", "a.,a."),
        set("metrics", "a.,,b."),
        set("metrics", "a\0"),
        null(EntryOpKind::Set),
        null(EntryOpKind::Append),
        null(EntryOpKind::Subtract),
        op("metrics", EntryOpKind::Append, "c.,c."),
        op("interval.ms", EntryOpKind::Append, "60000"),
        op("interval.ms", EntryOpKind::Subtract, "60000"),
    ];
    for op in configs {
        let error = refused("s", std::slice::from_ref(&op));
        assert!(matches!(error, AlterError::Config(_)), "{op:?}: {error:?}");
    }
    assert_eq!(values_and_sources(&book, "s")[0], ("a.,b.".into(), ValueSource::File), "and nothing was changed");
}

#[test]
fn the_message_names_the_file_and_the_matching_clients() {
    let (book, admission) = from_file();
    let file_only = alter(&book, "s", &[delete("metrics"), delete("match")]);
    assert!(!file_only.changed);
    assert!(file_only.message.unwrap().contains("`metrics` and `match` come from the configuration file; change it"));
    let words = |ops: &[EntryOp]| alter(&book, "s", ops).message.unwrap();
    assert_eq!(words(&[set("metrics", "x.")]), "no client is connected");
    first_get(&admission);
    assert_eq!(words(&[set("metrics", "y.")]), "1 of 1 connected client matches; 1 gets the change within 90s");
    assert_eq!(
        words(&[set("metrics", "y., x."), set("match", "client_id=d")]),
        "none of 1 connected client matches; 1 gets the change within 90s"
    );
    let long = words(&[set("interval.ms", "3600000")]);
    assert!(long.contains("above 300000 counts as 300000"), "{long}");
}

#[test]
fn the_message_about_long_intervals_matches_what_clients_get() {
    let software = |name: &str| Arc::new(Client { software_name: Some(name.into()), ..Client::default() });
    let clients = ["apache-kafka-java", "librdkafka"].map(software);
    for (long_intervals, interval, others, librdkafkas, said) in [
        (false, 300_000, 300, 300, None),
        (false, 300_001, 300, 300, Some("above 300000 counts as 300000")),
        (true, 1_700_000, 1_700, 1_700, None),
        (true, 3_600_000, 3_600, 1_700, Some("above 1700000 counts as 1700000 with librdkafka")),
    ] {
        let (_, admission) = subscriptions();
        let settings = admission::AdmissionConfig { long_intervals, ..admission::AdmissionConfig::default() };
        let book = Subscriptions::open(SubscriptionsSetup { settings, ..testing::setup(&admission) }).unwrap();
        let altered = alter(&book, "s", &[set("metrics", "*"), set("interval.ms", &interval.to_string())]);
        let words = altered.message.unwrap();
        assert!(said.map_or(!words.contains("counts as"), |said| words.ends_with(said)), "{interval}: {words}");
        let outcome = clients.each_ref().map(|client| {
            let outcome = admission.subscribe(client, ConnectionId(2), Instant::now(), SystemTime::now());
            outcome.unwrap().push_interval
        });
        assert_eq!(outcome, [others, librdkafkas].map(Duration::from_secs), "{interval}");
    }
}

#[test]
fn all_metrics_are_described_as_a_star() {
    for metrics in [&[""][..], &["*"], &["", "*"]] {
        let (_, admission) = subscriptions();
        let opening =
            SubscriptionsSetup { config: file_config("s", metrics, 60_000, &[]), ..testing::setup(&admission) };
        assert_eq!(
            values_and_sources(&Subscriptions::open(opening).unwrap(), "s")[0],
            ("*".into(), ValueSource::File),
            "{metrics:?}"
        );
    }
}

#[test]
fn the_message_counts_matching_clients_even_without_a_change() {
    let (book, admission) = from_file();
    let words = |ops: &[EntryOp]| alter(&book, "s", ops).message.unwrap();
    alter(&book, "s", &[set("metrics", "y.")]);
    let as_before = "nothing changed";
    assert_eq!(words(&[set("metrics", "y.")]), format!("{as_before}; no client is connected"));
    first_get(&admission);
    assert_eq!(words(&[set("metrics", "y.")]), format!("{as_before}; 1 of 1 connected client matches"));
    let validated = book.alter("s", &[set("metrics", "y.")], true).unwrap();
    assert_eq!(validated.message.unwrap(), format!("{as_before}; 1 of 1 connected client matches"));
    assert!(words(&[delete("match")]).ends_with("restart the host; 1 of 1 connected client matches"));
}

#[test]
fn the_message_covers_clients_that_are_not_affected() {
    let (book, admission) = from_file();
    first_get(&admission);
    first_get(&admission);
    let words = |name: &str, ops: &[EntryOp]| alter(&book, name, ops).message.unwrap();
    let other = words("other", &[set("metrics", "z."), set("match", "client_id=nobody")]);
    assert_eq!(other, "none of 2 connected clients matches");
    assert_eq!(words("s", &[set("interval.ms", "60000")]), "2 of 2 connected clients match, and none is affected");
    let gone = words("other", &[delete("metrics"), delete("match")]);
    assert_eq!(gone, "none of 2 connected clients is affected");
    alter(&book, "more", &[set("metrics", "z.")]);
    first_get(&admission);
    let gone = words("more", &[delete("metrics")]);
    assert!(gone.starts_with("none of 3 connected clients gets it any more"), "{gone}");
}

#[test]
fn validating_changes_nothing() {
    let (book, admission) = from_file();
    let (id, before, _) = first_get(&admission);
    let outcome = book.alter("s", &[set("metrics", "z.")], true).unwrap();
    assert!(!outcome.changed && outcome.message.unwrap().starts_with("validated, and nothing was changed; 1 of 1"));
    assert!(book.alter("s", &[set("interval.ms", "1")], true).is_err());
    assert_eq!(values_and_sources(&book, "s")[0], ("a.,b.".into(), ValueSource::File));
    assert_eq!(book.0.store.records::<serde_json::Value>(KIND).unwrap().len(), 0);
    let client = Client { instance_id: Some(id), ..Client::default() };
    let now = admission.subscribe(&Arc::new(client), ConnectionId(1), Instant::now(), SystemTime::now());
    assert!(now.is_err(), "its push interval was not restarted");
    assert_eq!(before, ["a.", "b."]);
}

#[test]
fn an_equivalent_change_does_not_disturb_clients() {
    let (book, admission) = from_file();
    let (id, ..) = first_get(&admission);
    let altered = alter(&book, "s", &[set("interval.ms", "60000")]);
    assert!(altered.changed);
    assert_eq!(values_and_sources(&book, "s")[1], ("60000".into(), ValueSource::Dynamic));
    let client = Client { instance_id: Some(id), ..Client::default() };
    let again = admission.subscribe(&Arc::new(client), ConnectionId(1), Instant::now(), SystemTime::now());
    assert!(again.is_err(), "too soon, as it would be without");
}

#[tokio::test]
async fn several_are_altered_in_order_and_audited() {
    let (_, admission) = subscriptions();
    let folder = tempfile::tempdir().unwrap();
    let audit = AuditLog::open(folder.path().join("audit.log")).unwrap();
    let book = Subscriptions::open(SubscriptionsSetup { audit: audit.clone(), ..setup(&admission) }).unwrap();
    let change = |name: &str, op| SubscriptionChange { name: name.into(), ops: vec![op] };
    let changes =
        vec![change("a", set("metrics", "x.")), change("", set("metrics", "x.")), change("b", delete("match"))];
    let done = book.alter_all("User:alice from 10.0.0.7:5".into(), changes.clone(), true).await;
    assert!(done[0].is_ok() && audit.read(9).unwrap().is_empty(), "only validated");
    let done = book.alter_all("User:alice from 10.0.0.7:5".into(), changes, false).await;
    assert!(done[0].as_ref().is_ok_and(|altered| altered.changed));
    assert!(matches!(done[1], Err(AlterError::Request(_))));
    assert!(done[2].as_ref().is_ok_and(|altered| !altered.changed));
    let [entry] = &audit.read(9).unwrap()[..] else { panic!("one change") };
    assert_eq!((&entry.who[..], &entry.plugin[..]), ("User:alice from 10.0.0.7:5", "a"));
    assert_eq!((entry.action, &entry.message[..]), (AuditAction::AlterSubscription, "metrics is `x.` (was nothing)"));
}
