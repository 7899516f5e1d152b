mod bounds;
mod many;
mod opening;

use std::time::{Duration, Instant, SystemTime};

use super::testing::{book, delete, floor, opening, set};
use super::*;
use crate::audit::Action;
use crate::push::{Client, ConnectionId, InstanceId};

/// Client `c`, whose first Get this is.
fn join(admission: &Admission) -> (InstanceId, Vec<String>, Duration) {
    ask(admission, None)
}

fn ask(admission: &Admission, id: Option<InstanceId>) -> (InstanceId, Vec<String>, Duration) {
    let client = Client { instance_id: id, client_id: Some("c".into()), ..Client::default() };
    let connection = ConnectionId(1);
    let told = admission.subscribe(&Arc::new(client), connection, Instant::now(), SystemTime::now()).expect("a Get");
    (told.instance_id, told.metrics.iter().map(ToString::to_string).collect(), told.push_interval)
}

fn op(key: &str, kind: OpKind, value: &str) -> Op {
    Op { key: key.into(), kind, value: Some(value.into()) }
}

#[track_caller]
fn alter(book: &Subscriptions, name: &str, ops: &[Op]) -> Altered {
    book.alter(name, ops, false).unwrap_or_else(|refused| panic!("{refused:?}"))
}

/// Value and source of each key, in order.
fn seen(book: &Subscriptions, name: &str) -> Vec<(String, Source)> {
    let described = book.describe(name).expect("it is there");
    described.entries.iter().map(|entry| (entry.value().to_owned(), entry.source())).collect()
}

fn of_file() -> (Subscriptions, Arc<Admission>) {
    let (_, admission) = book();
    let config = floor("s", &["a.", "b."], 60_000, &[("client_id", "c")]);
    (Subscriptions::open(Opening { config, ..testing::opening(&admission) }).unwrap(), admission)
}

#[test]
fn what_was_altered_wins_key_by_key_and_deleting_it_falls_back() {
    let (book, admission) = of_file();
    let file = Source::File;
    assert_eq!(seen(&book, "s"), [("a.,b.".into(), file), ("60000".into(), file), ("client_id=c".into(), file)]);
    alter(&book, "s", &[set("interval.ms", "30000")]);
    let dynamic = ("30000".to_owned(), Source::Dynamic);
    assert_eq!(seen(&book, "s"), [("a.,b.".into(), file), dynamic, ("client_id=c".into(), file)]);
    let interval = book.describe("s").unwrap().entries[1].clone();
    let synonyms = [(Source::Dynamic, "30000"), (file, "60000"), (Source::Default, "300000")];
    assert_eq!(interval.synonyms, synonyms.map(|(source, text)| (source, text.to_owned())));
    let (_, metrics, every) = join(&admission);
    assert_eq!((metrics, every), (vec!["a.".into(), "b.".into()], Duration::from_secs(30)));
    let back = alter(&book, "s", &[delete("interval.ms")]);
    assert!(back.words.unwrap().contains("`interval.ms` again as the configuration file has it"));
    assert_eq!(seen(&book, "s")[1], ("60000".into(), file));
    assert_eq!(join(&admission).2, Duration::from_secs(60));
}

#[test]
fn a_subscription_is_there_as_long_as_a_key_is() {
    let (book, admission) = book();
    alter(&book, "x", &[set("metrics", "a.")]);
    assert_eq!(book.list(), ["x".into()]);
    let default = |text: &str| (text.to_owned(), Source::Default);
    assert_eq!(seen(&book, "x"), [("a.".into(), Source::Dynamic), default("300000"), default("")]);
    assert_eq!(join(&admission).1, ["a."]);
    // What Kafka's tool sends to delete it.
    alter(&book, "x", &[delete("metrics"), delete("interval.ms"), delete("match")]);
    assert_eq!((book.list().len(), book.describe("x")), (0, None));
    assert_eq!(join(&admission).1, [""; 0]);
    let again = alter(&book, "x", &[delete("metrics")]);
    assert_eq!(again.words.unwrap(), "it is as it was: nothing changes for anybody");
    assert!(!again.changed, "as Kafka has it");
}

#[test]
fn asking_for_nothing_is_not_saying_nothing() {
    let (book, admission) = of_file();
    alter(&book, "s", &[set("metrics", "")]);
    assert_eq!(seen(&book, "s")[0], (String::new(), Source::Dynamic));
    let (_, metrics, every) = join(&admission);
    assert_eq!((metrics.len(), every), (0, Duration::from_secs(60)), "its interval counts");
}

#[test]
fn lists_are_appended_to_and_subtracted_from() {
    let (book, admission) = of_file();
    alter(&book, "s", &[op("metrics", OpKind::Append, "b., c.")]);
    assert_eq!(seen(&book, "s")[0].0, "a.,b.,c.", "the file's, and what it had not");
    alter(&book, "s", &[op("metrics", OpKind::Subtract, "a.,nothing")]);
    assert_eq!(seen(&book, "s")[0].0, "b.,c.");
    assert_eq!(join(&admission).1, ["b.", "c."]);
    alter(&book, "s", &[op("match", OpKind::Append, "client_source_port=1=1")]);
    assert_eq!(seen(&book, "s")[2].0, "client_id=c,client_source_port=1=1", "split at the first `=`");
    assert_eq!(join(&admission).1, [""; 0]);
    alter(&book, "s", &[op("match", OpKind::Subtract, "client_source_port=1=1")]);
    assert_eq!(join(&admission).1, ["b.", "c."]);
}

#[test]
fn a_files_pattern_may_hold_a_comma() {
    let (_, admission) = book();
    let config = floor("s", &["a."], 60_000, &[("client_id", "c{1,3}")]);
    let book = Subscriptions::open(Opening { config, ..testing::opening(&admission) }).unwrap();
    assert_eq!(join(&admission).1, ["a."]);
    alter(&book, "s", &[op("match", OpKind::Append, "client_id=c")]);
    assert_eq!(seen(&book, "s")[2].0, "client_id=c{1,3},client_id=c");
}

#[test]
fn each_mistake_has_its_kind() {
    let (book, _) = of_file();
    let refused = |name: &str, ops: &[Op]| book.alter(name, ops, false).expect_err("a mistake");
    let long = "n".repeat(300);
    let requests: &[(&str, &[Op])] = &[
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
        assert!(matches!(refused(name, ops), AlterRefused::Request(_)), "{name} {ops:?}");
    }
    let null = |kind| Op { key: "metrics".into(), kind, value: None };
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
        null(OpKind::Set),
        null(OpKind::Append),
        null(OpKind::Subtract),
        op("metrics", OpKind::Append, "c.,c."),
        op("interval.ms", OpKind::Append, "60000"),
        op("interval.ms", OpKind::Subtract, "60000"),
    ];
    for op in configs {
        let error = refused("s", std::slice::from_ref(&op));
        assert!(matches!(error, AlterRefused::Config(_)), "{op:?}: {error:?}");
    }
    assert_eq!(seen(&book, "s")[0], ("a.,b.".into(), Source::File), "and nothing was changed");
}

#[test]
fn words_tell_what_the_file_says_and_whom_it_meets() {
    let (book, admission) = of_file();
    let file_only = alter(&book, "s", &[delete("metrics"), delete("match")]);
    assert!(!file_only.changed);
    assert!(file_only.words.unwrap().contains("`metrics` and `match` come from the configuration file; change it"));
    let words = |ops: &[Op]| alter(&book, "s", ops).words.unwrap();
    assert_eq!(words(&[set("metrics", "x.")]), "no client is connected");
    join(&admission);
    assert_eq!(words(&[set("metrics", "y.")]), "1 of 1 connected client matches; 1 learns of it within 90s");
    assert_eq!(
        words(&[set("metrics", "y., x."), set("match", "client_id=d")]),
        "none of 1 connected client matches; 1 learns of it within 90s"
    );
    let long = words(&[set("interval.ms", "3600000")]);
    assert!(long.contains("above 300000 counts as 300000"), "{long}");
}

#[test]
fn words_of_long_intervals_are_what_clients_are_told() {
    let software = |name: &str| Arc::new(Client { software_name: Some(name.into()), ..Client::default() });
    let clients = ["apache-kafka-java", "librdkafka"].map(software);
    for (long_intervals, interval, others, librdkafkas, said) in [
        (false, 300_000, 300, 300, None),
        (false, 300_001, 300, 300, Some("above 300000 counts as 300000")),
        (true, 1_700_000, 1_700, 1_700, None),
        (true, 3_600_000, 3_600, 1_700, Some("above 1700000 counts as 1700000 with librdkafka")),
    ] {
        let (_, admission) = book();
        let settings = admission::AdmissionConfig { long_intervals, ..admission::AdmissionConfig::default() };
        let book = Subscriptions::open(Opening { settings, ..testing::opening(&admission) }).unwrap();
        let altered = alter(&book, "s", &[set("metrics", "*"), set("interval.ms", &interval.to_string())]);
        let words = altered.words.unwrap();
        assert!(said.map_or(!words.contains("counts as"), |said| words.ends_with(said)), "{interval}: {words}");
        let told = clients.each_ref().map(|client| {
            let told = admission.subscribe(client, ConnectionId(2), Instant::now(), SystemTime::now());
            told.unwrap().push_interval
        });
        assert_eq!(told, [others, librdkafkas].map(Duration::from_secs), "{interval}");
    }
}

#[test]
fn everything_is_shown_as_a_star_however_the_file_says_it() {
    for metrics in [&[""][..], &["*"], &["", "*"]] {
        let (_, admission) = book();
        let opening = Opening { config: floor("s", metrics, 60_000, &[]), ..testing::opening(&admission) };
        assert_eq!(seen(&Subscriptions::open(opening).unwrap(), "s")[0], ("*".into(), Source::File), "{metrics:?}");
    }
}

#[test]
fn words_tell_whom_it_meets_also_where_nothing_changes() {
    let (book, admission) = of_file();
    let words = |ops: &[Op]| alter(&book, "s", ops).words.unwrap();
    alter(&book, "s", &[set("metrics", "y.")]);
    let as_before = "it is as it was: nothing changes for anybody";
    assert_eq!(words(&[set("metrics", "y.")]), format!("{as_before}; no client is connected"));
    join(&admission);
    assert_eq!(words(&[set("metrics", "y.")]), format!("{as_before}; 1 of 1 connected client matches"));
    let validated = book.alter("s", &[set("metrics", "y.")], true).unwrap();
    assert_eq!(validated.words.unwrap(), format!("{as_before}; 1 of 1 connected client matches"));
    assert!(words(&[delete("match")]).ends_with("restart the host; 1 of 1 connected client matches"));
}

#[test]
fn words_tell_of_clients_that_notice_nothing() {
    let (book, admission) = of_file();
    join(&admission);
    join(&admission);
    let words = |name: &str, ops: &[Op]| alter(&book, name, ops).words.unwrap();
    let other = words("other", &[set("metrics", "z."), set("match", "client_id=nobody")]);
    assert_eq!(other, "no connected client matches, of 2");
    assert_eq!(
        words("s", &[set("interval.ms", "60000")]),
        "2 of 2 connected clients match, and none is asked for anything else than before"
    );
    let gone = words("other", &[delete("metrics"), delete("match")]);
    assert_eq!(gone, "none of 2 connected clients is asked for anything else");
    alter(&book, "more", &[set("metrics", "z.")]);
    join(&admission);
    let gone = words("more", &[delete("metrics")]);
    assert!(gone.starts_with("of 3 connected clients none is asked for it any more"), "{gone}");
}

#[test]
fn validating_changes_nothing() {
    let (book, admission) = of_file();
    let (id, before, _) = join(&admission);
    let told = book.alter("s", &[set("metrics", "z.")], true).unwrap();
    assert!(!told.changed && told.words.unwrap().starts_with("it can be done, and nothing was changed; 1 of 1"));
    assert!(book.alter("s", &[set("interval.ms", "1")], true).is_err());
    assert_eq!(seen(&book, "s")[0], ("a.,b.".into(), Source::File));
    assert_eq!(book.0.store.records::<serde_json::Value>(KIND).unwrap().len(), 0);
    let client = Client { instance_id: Some(id), ..Client::default() };
    let now = admission.subscribe(&Arc::new(client), ConnectionId(1), Instant::now(), SystemTime::now());
    assert!(now.is_err(), "its pace was not begun anew");
    assert_eq!(before, ["a.", "b."]);
}

#[test]
fn what_means_the_same_disturbs_nobody() {
    let (book, admission) = of_file();
    let (id, ..) = join(&admission);
    let altered = alter(&book, "s", &[set("interval.ms", "60000")]);
    assert!(altered.changed);
    assert_eq!(seen(&book, "s")[1], ("60000".into(), Source::Dynamic));
    let client = Client { instance_id: Some(id), ..Client::default() };
    let again = admission.subscribe(&Arc::new(client), ConnectionId(1), Instant::now(), SystemTime::now());
    assert!(again.is_err(), "too soon, as it would be without");
}

#[tokio::test]
async fn many_are_altered_in_order_and_the_log_says_by_whom() {
    let (_, admission) = book();
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(folder.path().join("audit.log")).unwrap();
    let book = Subscriptions::open(Opening { audit: audit.clone(), ..opening(&admission) }).unwrap();
    let change = |name: &str, op| Change { name: name.into(), ops: vec![op] };
    let changes =
        vec![change("a", set("metrics", "x.")), change("", set("metrics", "x.")), change("b", delete("match"))];
    let done = book.alter_all("User:alice from 10.0.0.7:5".into(), changes.clone(), true).await;
    assert!(done[0].is_ok() && audit.read(9).unwrap().is_empty(), "only validated");
    let done = book.alter_all("User:alice from 10.0.0.7:5".into(), changes, false).await;
    assert!(done[0].as_ref().is_ok_and(|altered| altered.changed));
    assert!(matches!(done[1], Err(AlterRefused::Request(_))));
    assert!(done[2].as_ref().is_ok_and(|altered| !altered.changed));
    let [entry] = &audit.read(9).unwrap()[..] else { panic!("one change") };
    assert_eq!((&entry.who[..], &entry.plugin[..]), ("User:alice from 10.0.0.7:5", "a"));
    assert_eq!((entry.action, &entry.message[..]), (Action::AlterSubscription, "metrics is `x.` (was nothing)"));
}
