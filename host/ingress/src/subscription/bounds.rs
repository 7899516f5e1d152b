//! How much the whole book may hold. What the file says is never refused here, but a change that makes more of what is
//! too much already is.

use std::collections::BTreeSet;

use super::{SubscriptionKey, SubscriptionMap};

/// Most subscriptions.
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// Most bytes of text in all.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// Most bytes of compiled patterns in all.
pub(super) const MAX_PATTERNS_BYTES: usize = 64 << 20;
/// Most prefixes in all: one client may match every subscription, and librdkafka reads no answer with more.
const MAX_PREFIXES: usize = 1_000;

/// Why the book may not become so, in one sentence.
pub(super) fn check(before: &SubscriptionMap, after: &SubscriptionMap) -> Result<(), String> {
    let over = |size: fn(&SubscriptionMap) -> usize, most: usize| {
        let size_after = size(after);
        (size_after > most && size_after > size(before)).then_some(size_after)
    };
    if over(SubscriptionMap::len, MAX_SUBSCRIPTIONS).is_some() {
        return Err(format!("there are {MAX_SUBSCRIPTIONS} subscriptions already; delete one first"));
    }
    if let Some(size) = over(|book| book.values().map(|held| held.text).sum(), MAX_TEXT_BYTES) {
        return Err(format!(
            "all subscriptions together would have {size} bytes of text; they may have {MAX_TEXT_BYTES}"
        ));
    }
    if let Some(size) = over(|book| book.values().map(|held| held.patterns).sum(), MAX_PATTERNS_BYTES) {
        return Err(format!(
            "all patterns together would take about {size} bytes; they may take {MAX_PATTERNS_BYTES}: write simpler ones, \
             `[0-9]` for `\\d` and `.` for `\\w`"
        ));
    }
    if let Some(size) = over(metrics, MAX_PREFIXES) {
        return Err(format!(
            "all subscriptions together would ask for {size} prefixes; clients read at most {MAX_PREFIXES}: name shorter \
             prefixes, which stand for many metrics"
        ));
    }
    Ok(())
}

fn metrics(book: &SubscriptionMap) -> usize {
    book.values().flat_map(|held| held.effective(SubscriptionKey::Metrics)).collect::<BTreeSet<_>>().len()
}
