//! How much the whole book may hold. What the file says is never refused here, but a change that makes more of what is
//! too much already is.

use std::collections::BTreeSet;

use super::{Book, Key};

/// Most subscriptions.
const SUBSCRIPTIONS: usize = 1_000;
/// Most bytes of text in all.
const TEXT: usize = 1 << 20;
/// Most bytes of compiled patterns in all.
pub(super) const PATTERNS: usize = 64 << 20;
/// Most prefixes in all: one client may match every subscription, and librdkafka reads no answer with more.
const METRICS: usize = 1_000;

/// Why the book may not become so, in one sentence.
pub(super) fn check(before: &Book, after: &Book) -> Result<(), String> {
    let over = |size: fn(&Book) -> usize, most: usize| {
        let size_after = size(after);
        (size_after > most && size_after > size(before)).then_some(size_after)
    };
    if over(Book::len, SUBSCRIPTIONS).is_some() {
        return Err(format!("there are {SUBSCRIPTIONS} subscriptions already; delete one first"));
    }
    if let Some(size) = over(|book| book.values().map(|held| held.text).sum(), TEXT) {
        return Err(format!("all subscriptions together would have {size} bytes of text; they may have {TEXT}"));
    }
    if let Some(size) = over(|book| book.values().map(|held| held.patterns).sum(), PATTERNS) {
        return Err(format!(
            "all patterns together would take about {size} bytes; they may take {PATTERNS}: write simpler ones, \
             `[0-9]` for `\\d` and `.` for `\\w`"
        ));
    }
    if let Some(size) = over(metrics, METRICS) {
        return Err(format!(
            "all subscriptions together would ask for {size} prefixes; clients read at most {METRICS}: name shorter \
             prefixes, which stand for many metrics"
        ));
    }
    Ok(())
}

fn metrics(book: &Book) -> usize {
    book.values().flat_map(|held| held.effective(Key::Metrics)).collect::<BTreeSet<_>>().len()
}
