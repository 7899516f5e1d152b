//! Limits of all subscriptions together. The file's content is never refused here, but a change that exceeds a limit
//! further is.

use std::collections::BTreeSet;

use super::{SubscriptionKey, SubscriptionMap};

/// The most subscriptions.
const MAX_SUBSCRIPTIONS: usize = 1_000;
/// The most bytes of text in all subscriptions.
const MAX_TEXT_BYTES: usize = 1 << 20;
/// The most bytes of compiled patterns in all subscriptions.
pub(super) const MAX_PATTERNS_BYTES: usize = 64 << 20;
/// The most prefixes in all subscriptions: one client may match them all, and librdkafka cannot read a response with
/// more.
const MAX_PREFIXES: usize = 1_000;

/// Checks the limits; the error is one sentence.
pub(super) fn check(before: &SubscriptionMap, after: &SubscriptionMap) -> Result<(), String> {
    let over = |size: fn(&SubscriptionMap) -> usize, most: usize| {
        let size_after = size(after);
        (size_after > most && size_after > size(before)).then_some(size_after)
    };
    if over(SubscriptionMap::len, MAX_SUBSCRIPTIONS).is_some() {
        return Err(format!(
            "there are {MAX_SUBSCRIPTIONS} subscriptions already, which is the maximum; delete one first"
        ));
    }
    if let Some(size) = over(|book| book.values().map(|held| held.text).sum(), MAX_TEXT_BYTES) {
        return Err(format!(
            "all subscriptions together would have {size} bytes of text; the maximum is {MAX_TEXT_BYTES}"
        ));
    }
    if let Some(size) = over(|book| book.values().map(|held| held.patterns).sum(), MAX_PATTERNS_BYTES) {
        return Err(format!(
            "all compiled patterns together would take about {size} bytes; the maximum is {MAX_PATTERNS_BYTES}: write simpler ones, \
             `[0-9]` for `\\d` and `.` for `\\w`"
        ));
    }
    if let Some(size) = over(metrics, MAX_PREFIXES) {
        return Err(format!(
            "all subscriptions together would have {size} prefixes; clients can read at most {MAX_PREFIXES}: write shorter \
             prefixes, each of which matches more metrics"
        ));
    }
    Ok(())
}

fn metrics(book: &SubscriptionMap) -> usize {
    book.values().flat_map(|held| held.effective(SubscriptionKey::Metrics)).collect::<BTreeSet<_>>().len()
}
