use super::*;

const CAPS: Caps = Caps { bytes: 100, keys: 3 };

fn shelf(store: &Store) -> Shelf {
    Shelf::of(store, "slot", CAPS)
}

fn put(shelf: &Shelf, key: &str, value: &str) -> Result<u64, Refusal> {
    shelf.change(key, Some(value.into()), Expected::Any)
}

fn text(shelf: &Shelf, key: &str) -> Option<String> {
    shelf.get(key).unwrap().map(|entry| String::from_utf8(entry.value).unwrap())
}

#[test]
fn what_is_not_granted_is_not_there() {
    let none = Shelf::none();
    assert!(!none.is_granted() && !none.scratch().is_granted());
    assert_eq!((none.caps(), none.usage()), (None, Usage::default()));
    assert!(matches!(put(&none, "a", "b"), Err(Refusal::Unavailable(_))));
}

#[test]
fn shelves_of_a_slot_share_and_others_do_not() {
    let store = Store::in_memory();
    put(&shelf(&store), "a", "one").unwrap();
    assert_eq!(text(&shelf(&store), "a").as_deref(), Some("one"));
    assert_eq!(text(&Shelf::of(&store, "other", CAPS), "a"), None);
    assert_eq!(shelf(&store).usage(), Usage { bytes: 4, keys: 1 });
}

#[test]
fn a_scratch_shows_what_is_there_and_leaves_it_so() {
    let store = Store::in_memory();
    let real = shelf(&store);
    put(&real, "a", "one").unwrap();
    put(&real, "b", "two").unwrap();
    let scratch = real.scratch();
    assert_eq!(text(&scratch, "a").as_deref(), Some("one"));
    let seen = scratch.get("a").unwrap().unwrap().version;
    let first = scratch.change("a", Some("tried".into()), Expected::Version(seen)).unwrap();
    assert!(matches!(scratch.change("a", None, Expected::Version(seen)), Err(Refusal::Conflict(Some(_)))));
    assert!(matches!(scratch.change("a", Some("x".into()), Expected::Absent), Err(Refusal::Conflict(Some(_)))));
    scratch.change("b", None, Expected::Any).unwrap();
    put(&scratch, "c", "three").unwrap();
    assert_eq!((text(&scratch, "a").as_deref(), text(&scratch, "b")), (Some("tried"), None));
    assert_eq!(scratch.keys("", None, 10).unwrap(), ["a", "c"]);
    assert_eq!(
        (scratch.keys("", None, 1).unwrap(), scratch.keys("", Some("a"), 1).unwrap()),
        (vec!["a".into()], vec!["c".into()])
    );
    assert_eq!(scratch.usage(), Usage { bytes: 12, keys: 2 });
    let again = scratch.change("b", Some("new".into()), Expected::Absent).unwrap();
    assert!(again > first);
    let second = scratch.scratch();
    assert!(put(&second, "a", "deeper").unwrap() > again);
    assert_eq!(text(&scratch, "a").as_deref(), Some("tried"));
    assert_eq!(real.keys("", None, 10).unwrap(), ["a", "b"]);
    assert_eq!((text(&real, "a").as_deref(), text(&real, "b").as_deref()), (Some("one"), Some("two")));
    assert_eq!(real.usage(), Usage { bytes: 8, keys: 2 });
}

#[test]
fn scratch_caps_obeyed_and_violated() {
    let store = Store::in_memory();
    put(&shelf(&store), "a", "one").unwrap();
    let scratch = shelf(&store).scratch();
    put(&scratch, "b", &"x".repeat(95)).unwrap();
    assert!(matches!(put(&scratch, "a", "four"), Err(Refusal::Full(_))), "{:?}", scratch.usage());
    assert!(matches!(put(&scratch, "", "x"), Err(Refusal::InvalidKey(_))));
    put(&scratch, "b", "").unwrap();
    put(&scratch, "c", "").unwrap();
    assert!(matches!(put(&scratch, "d", ""), Err(Refusal::Full(_))));
}

#[test]
fn a_guest_is_not_told_where_the_store_is() {
    let told = wit::StateError::from(Refusal::Unavailable("/data/barnabas.redb: broken".into()));
    assert!(matches!(told, wit::StateError::Unavailable(words) if !words.contains("/data")));
}
