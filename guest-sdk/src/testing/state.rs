//! The state for native tests. Each thread has its own, which is empty at first. Read it with [`state`](crate::state)
//! itself.

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

/// Sets whether the operator granted state. It is granted by default. Without the grant every call of this thread fails
/// as in a host where the manifest of the plugin has no `[grants] state`. The entries are available again when it is
/// granted again.
pub fn grant(granted: bool) {
    STATE.with_borrow_mut(|state| state.granted = granted);
}

fn ensure_granted() -> Result<(), StateError> {
    let reason = "state is not granted: add `state = \"1MiB\"` to [grants] in the plugin's manifest";
    if STATE.with_borrow(|state| state.granted) { Ok(()) } else { Err(StateError::Unavailable(reason.to_owned())) }
}

/// Makes every change of this thread fail with this error; `None` allows changes again.
pub fn refuse(error: Option<Error>) {
    let entry = |entry: crate::state::Entry| Entry { value: entry.value, version: entry.version };
    let refusal = error.map(|error| match error {
        Error::Conflict(there) => StateError::Conflict(there.map(entry)),
        Error::Full(cap) => StateError::Full(cap),
        Error::InvalidKey(reason) => StateError::InvalidKey(reason),
        Error::Unavailable(reason) => StateError::Unavailable(reason),
    });
    STATE.with_borrow_mut(|state| state.refusal = refusal);
}

pub(crate) fn get(key: &str) -> Result<Option<Entry>, StateError> {
    ensure_granted()?;
    check_key(key)?;
    STATE.with_borrow(|state| Ok(state.keys.get(key).cloned()))
}

/// Sets the value of a key, or deletes the key if `value` is `None`, provided that its version is the `expected` one.
pub(crate) fn change(
    key: &str,
    value: Option<&[u8]>,
    expected: impl FnOnce(Option<u64>) -> bool,
) -> Result<u64, StateError> {
    ensure_granted()?;
    check_key(key)?;
    STATE.with_borrow_mut(|state| {
        let current = state.keys.get(key);
        match &state.refusal {
            Some(refusal) => return Err(refusal.clone()),
            None if !expected(current.map(|entry| entry.version)) => {
                return Err(StateError::Conflict(current.cloned()));
            }
            None => state.last += 1,
        }
        let version = state.last;
        match value {
            Some(value) if value.len() > VALUE_BYTES => {
                return Err(StateError::Full(format!(
                    "the value has {} bytes; the limit is {VALUE_BYTES}",
                    value.len()
                )));
            }
            Some(value) => _ = state.keys.insert(key.to_owned(), Entry { value: value.to_vec(), version }),
            None => _ = state.keys.remove(key),
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
    STATE.with_borrow(|state| {
        let keys = state.keys.range::<str, _>((from, Bound::Unbounded)).map(|(key, _)| key.clone());
        Ok(keys.take_while(|key| key.starts_with(prefix)).take(limit as usize).collect())
    })
}

fn check_key(key: &str) -> Result<(), StateError> {
    match key.len() {
        1..=KEY_BYTES => Ok(()),
        size => Err(StateError::InvalidKey(format!("a key has 1 to {KEY_BYTES} bytes; this one has {size}"))),
    }
}
