//! State for a trial: what is there, seen through changes that are forgotten.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Caps, Shelf, Usage};
use crate::store::{Entry, Expected, Refusal, check_key, judge};

/// How far an overlay's versions stand above those beneath it, which count changes one by one and never come so far.
const ABOVE: u64 = 1 << 48;

pub(super) struct Scratch {
    beneath: Shelf,
    caps: Caps,
    /// Versions of this overlay are greater.
    floor: u64,
    changes: Mutex<Changes>,
}

#[derive(Default)]
struct Changes {
    /// `None`: deleted.
    keys: BTreeMap<String, Option<Entry>>,
    /// How many versions were given.
    given: u64,
    usage: Usage,
}

impl Scratch {
    pub(super) fn over(beneath: Shelf, caps: Caps) -> Self {
        let floor = beneath.floor() + ABOVE;
        let changes = Mutex::new(Changes { usage: beneath.usage(), ..Changes::default() });
        Self { beneath, caps, floor, changes }
    }

    pub(super) fn caps(&self) -> Caps {
        self.caps
    }

    /// As of the beginning, and what was changed here since.
    pub(super) fn usage(&self) -> Usage {
        self.changes().usage
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Entry>, Refusal> {
        check_key(key)?;
        self.there(&self.changes(), key)
    }

    pub(super) fn change(&self, key: &str, value: Option<Vec<u8>>, expected: Expected) -> Result<u64, Refusal> {
        check_key(key)?;
        // Held over the look beneath: of two changes at once, the second sees the first.
        let mut changes = self.changes();
        let there = self.there(&changes, key)?;
        let size = value.as_ref().map(Vec::len);
        changes.usage = judge((self.caps, changes.usage), (key, there.as_ref()), size, expected)?;
        changes.given += 1;
        let version = self.floor + changes.given;
        changes.keys.insert(key.to_owned(), value.map(|value| Entry { value, version }));
        Ok(version)
    }

    pub(super) fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, Refusal> {
        let changes = self.changes();
        // Every change may hide one key beneath.
        let beneath = self.beneath.keys(prefix, after, limit.saturating_add(changes.keys.len()))?;
        let hidden = |key: &String| changes.keys.contains_key(key);
        let mut keys: Vec<String> = beneath.into_iter().filter(|key| !hidden(key)).collect();
        let own = changes.keys.iter().filter(|(_, entry)| entry.is_some()).map(|(key, _)| key);
        keys.extend(
            own.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)).cloned(),
        );
        keys.sort();
        keys.truncate(limit);
        Ok(keys)
    }

    fn there(&self, changes: &Changes, key: &str) -> Result<Option<Entry>, Refusal> {
        match changes.keys.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.beneath.get(key),
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
