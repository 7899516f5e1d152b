//! Every limit, obeyed and violated.

use super::*;

fn refused(book: &Subscriptions, name: &str, op: EntryOp) -> AlterError {
    book.alter(name, &[op], false).expect_err("beyond the bound")
}

#[test]
fn name_and_entry_bounds_obeyed() {
    let (book, _) = subscriptions();
    alter(&book, &"n".repeat(249), &[set("metrics", &"m".repeat(64 << 10))]);
    let patterns = format!("client_id={}", "p".repeat((16 << 10) - 10));
    alter(&book, "x", &[set("match", &patterns)]);
}

#[test]
fn name_and_entry_bounds_violated() {
    let (book, _) = subscriptions();
    let words = refused(&book, &"n".repeat(250), set("metrics", "a.")).to_string();
    assert!(words.contains("250") && words.contains("249"), "{words}");
    let words = refused(&book, "x", set("metrics", &"m".repeat((64 << 10) + 1))).to_string();
    assert!(words.contains("65537") && words.contains("65536"), "{words}");
    alter(&book, "x", &[set("metrics", &"m".repeat(64 << 10))]);
    assert!(matches!(refused(&book, "x", op("metrics", EntryOpKind::Append, "more")), AlterError::Config(_)));
}

#[test]
fn subscriptions_and_prefixes_obeyed() {
    let (book, _) = subscriptions();
    for n in 0..1_000 {
        alter(&book, &n.to_string(), &[set("metrics", &format!("m{n}."))]);
    }
    // Once more the same prefixes, and one subscription fewer.
    alter(&book, "0", &[delete("metrics")]);
    alter(&book, "one-more", &[set("metrics", "m1.,m2.,m0.")]);
    assert_eq!(book.list().len(), 1_000);
}

#[test]
fn subscriptions_and_prefixes_violated() {
    let (book, _) = subscriptions();
    for n in 0..1_000 {
        alter(&book, &n.to_string(), &[set("interval.ms", "60000")]);
    }
    let error = refused(&book, "one-more", set("interval.ms", "60000"));
    assert!(matches!(&error, AlterError::Policy(words) if words.contains("1000 subscriptions")), "{error:?}");
    let many: Vec<String> = (0..1_001).map(|n| format!("m{n}.")).collect();
    alter(&book, "0", &[set("metrics", &many[1..].join(","))]);
    let error = refused(&book, "1", set("metrics", "m0."));
    assert!(matches!(&error, AlterError::Policy(words) if words.contains("1001 prefixes")), "{error:?}");
    assert_eq!(book.describe("1").unwrap().entries[0].source(), ValueSource::Default);
}

#[test]
fn text_in_all_obeyed() {
    let (book, _) = subscriptions();
    for n in 0..15 {
        alter(&book, &n.to_string(), &[set("metrics", &n.to_string().repeat(32 << 10))]);
    }
}

#[test]
fn text_in_all_violated() {
    let (book, _) = subscriptions();
    for n in 10..25 {
        alter(&book, &n.to_string(), &[set("metrics", &n.to_string().repeat(32 << 10))]);
    }
    let error = refused(&book, "last", set("metrics", &"ab".repeat(33 << 10)[..64 << 10]));
    assert!(matches!(&error, AlterError::Policy(words) if words.contains("bytes of text")), "{error:?}");
    alter(&book, "10", &[delete("metrics")]);
    alter(&book, "last", &[set("metrics", &"ab".repeat(32 << 10))]);
}

/// Large when compiled, small as text.
const HEAVY_PATTERN: &str = "client_id=[a-z]{9000}";

#[test]
fn patterns_in_all_obeyed() {
    let (book, _) = subscriptions();
    alter(&book, "heavy", &[set("match", HEAVY_PATTERN)]);
    let heavy = book.snapshot()["heavy"].patterns;
    assert!((64 << 10..=1 << 20).contains(&heavy), "{heavy}");
    alter(&book, "light", &[set("match", "client_id=a.*")]);
    assert!(book.snapshot()["light"].patterns < heavy);
}

#[test]
fn patterns_in_all_violated() {
    let (book, _) = subscriptions();
    alter(&book, "0", &[set("match", HEAVY_PATTERN)]);
    let fit = (64 << 20) / book.snapshot()["0"].patterns;
    for n in 1..fit {
        alter(&book, &n.to_string(), &[set("match", HEAVY_PATTERN)]);
    }
    let error = refused(&book, "one-more", set("match", HEAVY_PATTERN));
    assert!(matches!(&error, AlterError::Policy(words) if words.contains("simpler")), "{error:?}");
}
