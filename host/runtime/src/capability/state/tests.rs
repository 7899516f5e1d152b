use super::*;

const CAPS: StateQuota = StateQuota { bytes: 100, keys: 3 };

fn slot_state(store: &Store) -> SlotState {
    SlotState::for_slot(store, "slot", CAPS)
}

fn put(shelf: &SlotState, key: &str, value: &str) -> Result<u64, StateStoreError> {
    shelf.change(key, Some(value.into()), Precondition::Any)
}

fn text(shelf: &SlotState, key: &str) -> Option<String> {
    shelf.get(key).unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
}

#[test]
fn state_that_is_not_granted_is_unavailable() {
    let none = SlotState::not_granted();
    assert!(!none.is_granted() && !none.trial_overlay().is_granted());
    assert_eq!((none.caps(), none.usage()), (None, StateUsage::default()));
    assert!(matches!(put(&none, "a", "b"), Err(StateStoreError::Unavailable(_))));
}

#[test]
fn handles_of_one_slot_share_its_state_and_other_slots_do_not() {
    let store = Store::in_memory();
    put(&slot_state(&store), "a", "one").unwrap();
    assert_eq!(text(&slot_state(&store), "a").as_deref(), Some("one"));
    assert_eq!(text(&SlotState::for_slot(&store, "other", CAPS), "a"), None);
    assert_eq!(slot_state(&store).usage(), StateUsage { bytes: 4, keys: 1 });
}

#[test]
fn an_overlay_reads_the_slots_state_and_never_changes_it() {
    let store = Store::in_memory();
    let real = slot_state(&store);
    put(&real, "a", "one").unwrap();
    put(&real, "b", "two").unwrap();
    let scratch = real.trial_overlay();
    assert_eq!(text(&scratch, "a").as_deref(), Some("one"));
    let seen = scratch.get("a").unwrap().unwrap().version;
    let first = scratch.change("a", Some("tried".into()), Precondition::Version(seen)).unwrap();
    assert!(matches!(scratch.change("a", None, Precondition::Version(seen)), Err(StateStoreError::Conflict(Some(_)))));
    assert!(matches!(
        scratch.change("a", Some("x".into()), Precondition::Absent),
        Err(StateStoreError::Conflict(Some(_)))
    ));
    scratch.change("b", None, Precondition::Any).unwrap();
    put(&scratch, "c", "three").unwrap();
    assert_eq!((text(&scratch, "a").as_deref(), text(&scratch, "b")), (Some("tried"), None));
    assert_eq!(scratch.keys("", None, 10).unwrap(), ["a", "c"]);
    assert_eq!(
        (scratch.keys("", None, 1).unwrap(), scratch.keys("", Some("a"), 1).unwrap()),
        (vec!["a".into()], vec!["c".into()])
    );
    assert_eq!(scratch.usage(), StateUsage { bytes: 12, keys: 2 });
    let again = scratch.change("b", Some("new".into()), Precondition::Absent).unwrap();
    assert!(again > first);
    let second = scratch.trial_overlay();
    assert!(put(&second, "a", "deeper").unwrap() > again);
    assert_eq!(text(&scratch, "a").as_deref(), Some("tried"));
    assert_eq!(real.keys("", None, 10).unwrap(), ["a", "b"]);
    assert_eq!((text(&real, "a").as_deref(), text(&real, "b").as_deref()), (Some("one"), Some("two")));
    assert_eq!(real.usage(), StateUsage { bytes: 8, keys: 2 });
}

#[test]
fn overlay_caps_obeyed_and_violated() {
    let store = Store::in_memory();
    put(&slot_state(&store), "a", "one").unwrap();
    let scratch = slot_state(&store).trial_overlay();
    put(&scratch, "b", &"x".repeat(95)).unwrap();
    assert!(matches!(put(&scratch, "a", "four"), Err(StateStoreError::QuotaExceeded(_))), "{:?}", scratch.usage());
    assert!(matches!(put(&scratch, "", "x"), Err(StateStoreError::InvalidKey(_))));
    put(&scratch, "b", "").unwrap();
    put(&scratch, "c", "").unwrap();
    assert!(matches!(put(&scratch, "d", ""), Err(StateStoreError::QuotaExceeded(_))));
}

#[test]
fn the_path_of_the_store_is_hidden_from_the_guest() {
    let error = wit::StateError::from(StateStoreError::Unavailable("/data/barnabas.redb: broken".into()));
    assert!(matches!(error, wit::StateError::Unavailable(reason) if !reason.contains("/data")));
}
