//! State for native tests: each thread has its own, empty at first. Look into it with [`state`](crate::state) itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::contract::state::{Entry, StateError};
use crate::state::Error;

const KEY_BYTES: usize = 512;
const VALUE_BYTES: usize = 256 * 1024;

thread_local! {
    static STATE: RefCell<StateDouble> =
        const { RefCell::new(StateDouble { keys: BTreeMap::new(), last: 0, refusal: None, granted: true }) };
}

struct StateDouble {
    keys: BTreeMap<String, Entry>,
    last: u64,
    refusal: Option<StateError>,
    granted: bool,
}

/// Whether the operator granted state, as it is at first. Without the grant every call of this thread is answered as a
/// host answers a plugin whose manifest has no `[grants] state`; what was kept is there again once it is granted.
pub fn grant(granted: bool) {
    STATE.with_borrow_mut(|kept| kept.granted = granted);
}

fn ensure_granted() -> Result<(), StateError> {
    let words = "state is not granted: add `state = \"1MiB\"` to [grants] in the plugin's manifest";
    if STATE.with_borrow(|kept| kept.granted) { Ok(()) } else { Err(StateError::Unavailable(words.to_owned())) }
}

/// From now on every change of this thread is refused so; with `None`, made again.
pub fn refuse(error: Option<Error>) {
    let entry = |entry: crate::state::Entry| Entry { value: entry.value, version: entry.version };
    let refusal = error.map(|error| match error {
        Error::Conflict(there) => StateError::Conflict(there.map(entry)),
        Error::Full(cap) => StateError::Full(cap),
        Error::InvalidKey(reason) => StateError::InvalidKey(reason),
        Error::Unavailable(reason) => StateError::Unavailable(reason),
    });
    STATE.with_borrow_mut(|kept| kept.refusal = refusal);
}

pub(crate) fn get(key: &str) -> Result<Option<Entry>, StateError> {
    ensure_granted()?;
    check_key(key)?;
    STATE.with_borrow(|kept| Ok(kept.keys.get(key).cloned()))
}

/// Puts a value, or deletes the key where there is none, where `agreed` to what is there.
pub(crate) fn change(
    key: &str,
    value: Option<&[u8]>,
    expected: impl FnOnce(Option<u64>) -> bool,
) -> Result<u64, StateError> {
    ensure_granted()?;
    check_key(key)?;
    STATE.with_borrow_mut(|kept| {
        let there = kept.keys.get(key);
        match &kept.refusal {
            Some(refusal) => return Err(refusal.clone()),
            None if !expected(there.map(|entry| entry.version)) => return Err(StateError::Conflict(there.cloned())),
            None => kept.last += 1,
        }
        let version = kept.last;
        match value {
            Some(value) if value.len() > VALUE_BYTES => {
                return Err(StateError::Full(format!("a value may have {VALUE_BYTES} bytes")));
            }
            Some(value) => _ = kept.keys.insert(key.to_owned(), Entry { value: value.to_vec(), version }),
            None => _ = kept.keys.remove(key),
        }
        Ok(version)
    })
}

pub(crate) fn keys(prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, StateError> {
    ensure_granted()?;
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    STATE.with_borrow(|kept| {
        let keys = kept.keys.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key.clone());
        Ok(keys.take_while(|key| key.starts_with(prefix)).take(limit as usize).collect())
    })
}

fn check_key(key: &str) -> Result<(), StateError> {
    match key.len() {
        1..=KEY_BYTES => Ok(()),
        size => Err(StateError::InvalidKey(format!("it has {size} bytes, and may have 1 to {KEY_BYTES}"))),
    }
}
