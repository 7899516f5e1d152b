//! The receivers' state: keys and values of each slot, which survive instances, generations and the host.
//!
//! In: reads and writes of one slot. Out: values; a write either is complete and on the disk, or is refused and changes
//! nothing. The precondition and the quota are checked inside the transaction, so concurrent writes of several
//! instances are serialised. Bounded by each slot's [`StateQuota`].

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::Serialize;

use super::Store;

/// Slot and key → version and value.
const STATE_TABLE: TableDefinition<'_, (&str, &str), (u64, &[u8])> = TableDefinition::new("state");
/// Slot → last version, bytes, keys.
const COUNTERS_TABLE: TableDefinition<'_, &str, (u64, u64, u64)> = TableDefinition::new("state-books");

/// Maximum size of a key in bytes.
const MAX_KEY_BYTES: usize = 512;
/// Maximum size of a value in bytes.
pub(super) const MAX_VALUE_BYTES: usize = 256 * 1024;
/// Maximum number of keys that one call lists.
pub const MAX_KEYS_PER_LIST: usize = 1_000;

/// How much state a slot may store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StateQuota {
    /// Total bytes of all keys and values.
    pub bytes: usize,
    /// Number of keys.
    pub keys: usize,
}

/// How much state a slot stores, in the units of its [`StateQuota`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateUsage {
    /// Total bytes of all keys and values.
    pub bytes: usize,
    /// Number of keys.
    pub keys: usize,
}

/// A value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// At most 256 KiB.
    pub value: Vec<u8>,
    /// A version is never reused for a key, even if the key was deleted in between.
    pub version: u64,
}

/// The condition under which a write is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Always.
    Any,
    /// If the key does not exist.
    Absent,
    /// If the key has exactly this version.
    Version(u64),
}

/// Why a read or a write of state failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateStoreError {
    /// The precondition does not hold; the current entry, if there is one.
    Conflict(Option<StateEntry>),
    /// The write would exceed the quota; the message names which limit.
    QuotaExceeded(String),
    /// The key is not valid; the message says why.
    InvalidKey(String),
    /// The store failed; the message is for the operator.
    Unavailable(String),
}

/// The counters of a slot, which are known without reading its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotCounters {
    /// The last version that was assigned. It only grows, also across [`Store::delete_state`].
    pub(super) last_version: u64,
    pub(super) usage: StateUsage,
}

/// Counters by slot name.
pub(super) type CountersBySlot = BTreeMap<Box<str>, SlotCounters>;

/// Checks the length of a key.
pub fn check_key(key: &str) -> Result<(), StateStoreError> {
    match key.len() {
        0 => Err(StateStoreError::InvalidKey("the key is empty; it must have at least one byte".into())),
        1..=MAX_KEY_BYTES => Ok(()),
        size => Err(StateStoreError::InvalidKey(format!("the key has {size} bytes; the limit is {MAX_KEY_BYTES}"))),
    }
}

/// Checks whether a write may replace the `current` entry, and returns the usage after it. `value` is the size of the
/// new value, or `None` to delete. A slot that already exceeds its quota (because the operator lowered it) may shrink.
pub fn check_change(
    (caps, usage): (StateQuota, StateUsage),
    (key, current): (&str, Option<&StateEntry>),
    value: Option<usize>,
    expected: Precondition,
) -> Result<StateUsage, StateStoreError> {
    let precondition_holds = match expected {
        Precondition::Any => true,
        Precondition::Absent => current.is_none(),
        Precondition::Version(version) => current.is_some_and(|entry| entry.version == version),
    };
    if !precondition_holds {
        return Err(StateStoreError::Conflict(current.cloned()));
    }
    let size = |value: usize| key.len() + value;
    let old = current.map(|entry| size(entry.value.len()));
    let after = StateUsage {
        bytes: usage.bytes.saturating_sub(old.unwrap_or(0)).saturating_add(value.map_or(0, size)),
        keys: usage.keys.saturating_sub(usize::from(old.is_some())) + usize::from(value.is_some()),
    };
    let over = |what: &str, before: usize, after: usize, cap: usize| {
        (after > cap && after > before)
            .then(|| StateStoreError::QuotaExceeded(format!("{after} {what} exceed the limit of {cap}")))
    };
    let value_bytes = value.unwrap_or(0);
    let refused = over("bytes in one value", 0, value_bytes, MAX_VALUE_BYTES)
        .or_else(|| over("bytes of keys and values", usage.bytes, after.bytes, caps.bytes))
        .or_else(|| over("keys", usage.keys, after.keys, caps.keys));
    refused.map_or(Ok(after), Err)
}

impl Store {
    /// Returns the entry of a key.
    pub fn get_state(&self, slot: &str, key: &str) -> Result<Option<StateEntry>, StateStoreError> {
        check_key(key)?;
        let found = self.database.run(|database| {
            let table = database.begin_read()?.open_table(STATE_TABLE)?;
            Ok(table.get((slot, key))?.map(|found| entry_from_row(found.value())))
        });
        found.map_err(unavailable)
    }

    /// Lists up to `limit` keys of a slot that begin with `prefix` and come after `after`, in byte order.
    pub fn list_state_keys(
        &self,
        slot: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StateStoreError> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((slot, after)),
            _ => Bound::Included((slot, prefix)),
        };
        let found = self.database.run(|database| {
            let table = database.begin_read()?.open_table(STATE_TABLE)?;
            let mut keys = Vec::new();
            for pair in table.range::<(&str, &str)>((from, Bound::Unbounded))?.take(limit) {
                let (place, _) = pair?;
                let (of, key) = place.value();
                if of != slot || !key.starts_with(prefix) {
                    break;
                }
                keys.push(key.to_owned());
            }
            Ok(keys)
        });
        found.map_err(unavailable)
    }

    /// Sets the value of a key, or deletes the key if `value` is `None`. Returns the new version once it is on the
    /// disk.
    pub fn write_state(
        &self,
        (slot, caps): (&str, StateQuota),
        key: &str,
        value: Option<Vec<u8>>,
        expected: Precondition,
    ) -> Result<u64, StateStoreError> {
        check_key(key)?;
        let (of, key) = (slot.to_owned(), key.to_owned());
        let changed =
            self.writer.write(move |change| apply_change(change, (&of, caps), &key, value.as_deref(), expected));
        let books = changed.map_err(unavailable)??;
        self.database.record_counters(slot, books);
        Ok(books.last_version)
    }

    /// Returns how much state a slot stores. Does not touch the disk.
    pub fn state_usage(&self, slot: &str) -> StateUsage {
        self.database.counters(slot).usage
    }

    /// Deletes all state of a slot. Its version counter is retained, so that an instance which still has an old version
    /// never mistakes a later value for it.
    pub fn delete_state(&self, slot: &str) -> anyhow::Result<()> {
        let of = slot.to_owned();
        let books = self.writer.write(move |change| {
            let next = format!("{of}\0");
            let range = (of.as_str(), "")..(next.as_str(), "");
            change.open_table(STATE_TABLE)?.retain_in(range, |_, _| false)?;
            let mut table = change.open_table(COUNTERS_TABLE)?;
            let known = table.get(of.as_str())?.map(|found| counters_from_row(found.value()));
            let books =
                SlotCounters { last_version: known.unwrap_or_default().last_version + 1, usage: StateUsage::default() };
            table.insert(of.as_str(), counters_to_row(books))?;
            Ok(books)
        })?;
        self.database.record_counters(slot, books);
        Ok(())
    }
}

fn apply_change(
    change: &WriteTransaction,
    (slot, caps): (&str, StateQuota),
    key: &str,
    value: Option<&[u8]>,
    expected: Precondition,
) -> Result<Result<SlotCounters, StateStoreError>, redb::Error> {
    let (mut table, mut all) = (change.open_table(STATE_TABLE)?, change.open_table(COUNTERS_TABLE)?);
    let known = all.get(slot)?.map(|found| counters_from_row(found.value())).unwrap_or_default();
    let there = table.get((slot, key))?.map(|found| entry_from_row(found.value()));
    let usage = match check_change((caps, known.usage), (key, there.as_ref()), value.map(<[u8]>::len), expected) {
        Ok(usage) => usage,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let new = SlotCounters { last_version: known.last_version + 1, usage };
    match value {
        Some(value) => drop(table.insert((slot, key), (new.last_version, value))?),
        None => drop(table.remove((slot, key))?),
    }
    all.insert(slot, counters_to_row(new))?;
    Ok(Ok(new))
}

/// Reads the counters of every slot.
pub(super) fn read_all_counters(database: &Database) -> Result<CountersBySlot, redb::Error> {
    let table = database.begin_read()?.open_table(COUNTERS_TABLE)?;
    let mut all = BTreeMap::new();
    for pair in table.iter()? {
        let (slot, found) = pair?;
        all.insert(slot.value().into(), counters_from_row(found.value()));
    }
    Ok(all)
}

pub(super) fn make_tables(change: &WriteTransaction) -> Result<(), redb::Error> {
    change.open_table(STATE_TABLE)?;
    change.open_table(COUNTERS_TABLE)?;
    Ok(())
}

fn entry_from_row((version, value): (u64, &[u8])) -> StateEntry {
    StateEntry { value: value.to_vec(), version }
}

fn counters_from_row((last, bytes, keys): (u64, u64, u64)) -> SlotCounters {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    SlotCounters { last_version: last, usage: StateUsage { bytes: size(bytes), keys: size(keys) } }
}

fn counters_to_row(books: SlotCounters) -> (u64, u64, u64) {
    (books.last_version, books.usage.bytes as u64, books.usage.keys as u64)
}

fn unavailable(error: anyhow::Error) -> StateStoreError {
    StateStoreError::Unavailable(format!("{error:#}"))
}
