//! Restarts, and hosts of a fleet.

use serde_json::json;

use super::*;
use barnabas_storage::store::Store;

fn start_with(store: &Store, config: SubscriptionsConfig) -> (Subscriptions, Arc<Admission>) {
    let (_, admission) = subscriptions();
    let opening = SubscriptionsSetup { config, store: store.clone(), ..testing::setup(&admission) };
    (Subscriptions::open(opening).expect("it opens"), admission)
}

fn on_disk(folder: &tempfile::TempDir) -> Store {
    Store::open(folder.path()).expect("a store")
}

#[test]
fn a_restart_brings_back_what_was_altered() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (book, _) = start_with(&on_disk(&folder), file_config("s", &["a."], 60_000, &[]));
        alter(&book, "s", &[set("metrics", "b."), set("match", "client_id=c|d")]);
        alter(&book, "new", &[set("metrics", "n.")]);
        alter(&book, "gone", &[set("metrics", "g.")]);
        alter(&book, "gone", &[delete("metrics")]);
    }
    let (book, admission) = start_with(&on_disk(&folder), file_config("s", &["a."], 30_000, &[]));
    assert_eq!(book.list(), ["new".into(), "s".into()]);
    let expected =
        [("b.", ValueSource::Dynamic), ("30000", ValueSource::File), ("client_id=c|d", ValueSource::Dynamic)];
    assert_eq!(values_and_sources(&book, "s"), expected.map(|(text, source)| (text.to_owned(), source)));
    assert_eq!(first_get(&admission).1, ["b.", "n."]);
    drop((book, admission));
    let (book, _) = start_with(&on_disk(&folder), SubscriptionsConfig::default());
    assert_eq!(
        values_and_sources(&book, "s")[1],
        ("300000".into(), ValueSource::Default),
        "the file does not contain it any more"
    );
}

#[test]
fn an_unusable_record_is_kept_described_and_disabled() {
    let store = Store::in_memory();
    let odd = json!({ "version": 1, "entries": { "metrics": ["o."], "match": ["client_id=(?<=x)"] } });
    store.put_record(KIND, "odd", &odd).unwrap();
    store.put_record(KIND, "later", &json!({ "version": 2, "words": "of the future" })).unwrap();
    store.put_record(KIND, "good", &json!({ "version": 1, "entries": { "metrics": ["g."] } })).unwrap();
    let (book, admission) = start_with(&store, SubscriptionsConfig::default());
    assert_eq!(book.list(), ["good".into(), "later".into(), "odd".into()]);
    assert_eq!(first_get(&admission).1, ["g."]);
    assert_eq!(values_and_sources(&book, "odd")[2], ("client_id=(?<=x)".into(), ValueSource::Dynamic));
    let problem = |name: &str| book.describe(name).unwrap().problem.clone();
    assert!(problem("odd").unwrap().contains("(?<=x)") && problem("later").unwrap().contains("later release"));
    assert_eq!(problem("good"), None);

    assert!(matches!(book.alter("later", &[delete("metrics")], false), Err(AlterError::Policy(_))));
    assert!(matches!(book.alter("odd", &[set("metrics", "p.")], false), Err(AlterError::Config(_))));
    assert_eq!(store.records::<serde_json::Value>(KIND).unwrap().len(), 3, "nothing was lost");
    alter(&book, "odd", &[delete("match")]);
    assert_eq!((problem("odd"), first_get(&admission).1), (None, vec!["g.".into(), "o.".into()]));
}

#[test]
fn a_damaged_record_does_not_hide_the_file_and_is_replaced_by_an_alteration() {
    let store = Store::in_memory();
    let records = || store.records::<serde_json::Value>(KIND).unwrap();
    let damaged = json!({ "version": 1, "entries": "metrics" });
    ["s", "gone"].iter().for_each(|name| store.put_record(KIND, name, &damaged).unwrap());
    let (book, admission) = start_with(&store, file_config("s", &["a."], 60_000, &[]));
    let problem = |book: &Subscriptions, name: &str| book.describe(name).unwrap().problem.clone();
    assert_eq!(
        (values_and_sources(&book, "s")[0].clone(), first_get(&admission).1),
        (("a.".into(), ValueSource::File), vec!["a.".to_owned()])
    );
    assert!(problem(&book, "s").unwrap().contains("alter it again"));
    assert_eq!(values_and_sources(&book, "gone")[0].1, ValueSource::Default);
    assert_eq!(records().len(), 2, "kept until it is altered");

    let thrown_away = alter(&book, "gone", &[delete("metrics"), delete("interval.ms"), delete("match")]);
    assert!(thrown_away.changed && thrown_away.difference.contains("discarded"), "{thrown_away:?}");
    assert_eq!((book.describe("gone"), records().len()), (None, 1));
    alter(&book, "s", &[set("metrics", "b.")]);
    assert_eq!((problem(&book, "s"), first_get(&admission).1), (None, vec!["b.".to_owned()]));
    drop((book, admission));
    let (book, _) = start_with(&store, SubscriptionsConfig::default());
    assert_eq!(values_and_sources(&book, "s")[0], ("b.".into(), ValueSource::Dynamic), "it can be read again");
}

#[test]
fn in_a_fleet_only_the_files_count() {
    let store = Store::in_memory();
    store.put_record(KIND, "s", &json!({ "version": 1, "entries": { "metrics": ["x."] } })).unwrap();
    let config = SubscriptionsConfig { fleet: true, ..file_config("s", &["a."], 60_000, &[]) };
    let (book, admission) = start_with(&store, config);
    assert!(book.is_fleet());
    assert_eq!(values_and_sources(&book, "s")[0], ("a.".into(), ValueSource::File));
    assert_eq!(first_get(&admission).1, ["a."]);
    for only_validate in [true, false] {
        let refused = book.alter("s", &[set("metrics", "y.")], only_validate).expect_err("of a fleet");
        assert!(matches!(&refused, AlterError::Policy(words) if words.contains("fleet")), "{refused:?}");
    }
    let (book, _) = start_with(&store, SubscriptionsConfig::default());
    assert_eq!(values_and_sources(&book, "s")[0], ("x.".into(), ValueSource::Dynamic), "it was ignored and kept");
}
