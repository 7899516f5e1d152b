//! The state of slots: keys and values that outlive instances, generations and the host.
//!
//! In: questions and changes of one slot. Out: answers; a change is made whole and is on the disk, or is refused and
//! nothing happened. Whether it may be made is decided inside the transaction, so of several instances that write at
//! once, one goes first. Bounded by each slot's [`Caps`].

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::Serialize;

use super::Store;

/// Slot and key → version and value.
const STATE_TABLE: TableDefinition<'_, (&str, &str), (u64, &[u8])> = TableDefinition::new("state");
/// Slot → version given last, bytes, keys.
const COUNTERS_TABLE: TableDefinition<'_, &str, (u64, u64, u64)> = TableDefinition::new("state-books");

/// Most bytes of a key.
const MAX_KEY_BYTES: usize = 512;
/// Most bytes of a value.
pub(super) const MAX_VALUE_BYTES: usize = 256 * 1024;
/// Most keys that are listed at once.
pub(crate) const MAX_KEYS_PER_LIST: usize = 1_000;

/// Most that a slot may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StateQuota {
    /// Bytes of all keys and values together.
    pub bytes: usize,
    /// How many keys.
    pub keys: usize,
}

/// What a slot keeps, in the terms of its [`Caps`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateUsage {
    /// Bytes of all keys and values together.
    pub bytes: usize,
    /// How many keys.
    pub keys: usize,
}

/// A value and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateEntry {
    /// At most 256 KiB.
    pub(crate) value: Vec<u8>,
    /// Of a key never the same twice, also when it was deleted in between.
    pub(crate) version: u64,
}

/// What must be there for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// Exactly this version.
    Version(u64),
}

/// Why a change was not made, or a question not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateStoreError {
    /// Something else is there than was expected.
    Conflict(Option<StateEntry>),
    /// A cap; which one, in words.
    QuotaExceeded(String),
    /// The key can be none; why, in words.
    InvalidKey(String),
    /// The store cannot do its part; for the operator, in words.
    Unavailable(String),
}

/// What is known of a slot without looking at its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SlotCounters {
    /// The version given last. It only grows, also over [`Store::forget_state`].
    pub(super) last_version: u64,
    pub(super) usage: StateUsage,
}

/// By slot.
pub(super) type CountersBySlot = BTreeMap<Box<str>, SlotCounters>;

/// Whether a key can be one.
pub(crate) fn check_key(key: &str) -> Result<(), StateStoreError> {
    match key.len() {
        0 => Err(StateStoreError::InvalidKey("a key has at least one byte".into())),
        1..=MAX_KEY_BYTES => Ok(()),
        size => Err(StateStoreError::InvalidKey(format!("the key has {size} bytes; it may have {MAX_KEY_BYTES}"))),
    }
}

/// Whether a change may be made where `there` is, and what is used after it. `value` is the size of the new value, or
/// `None` to delete. What is already beyond a cap (the operator lowered it) may shrink.
pub(crate) fn check_change(
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
            .then(|| StateStoreError::QuotaExceeded(format!("{after} {what} are wanted; the cap is {cap}")))
    };
    let value_bytes = value.unwrap_or(0);
    let refused = over("bytes in one value", 0, value_bytes, MAX_VALUE_BYTES)
        .or_else(|| over("bytes of keys and values", usage.bytes, after.bytes, caps.bytes))
        .or_else(|| over("keys", usage.keys, after.keys, caps.keys));
    refused.map_or(Ok(after), Err)
}

impl Store {
    /// What is under a key.
    pub(crate) fn get_state(&self, slot: &str, key: &str) -> Result<Option<StateEntry>, StateStoreError> {
        check_key(key)?;
        let found = self.database.run(|database| {
            let table = database.begin_read()?.open_table(STATE_TABLE)?;
            Ok(table.get((slot, key))?.map(|found| entry_from_row(found.value())))
        });
        found.map_err(unavailable)
    }

    /// Keys of a slot that begin with `prefix` and stand after `after`, in the order of their bytes, at most `limit`.
    pub(crate) fn list_state_keys(
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

    /// Puts a value under a key, or deletes it where there is none, and gives the new version. On the disk when it
    /// returns.
    pub(crate) fn write_state(
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

    /// What a slot keeps. Does not touch the disk.
    pub(crate) fn state_usage(&self, slot: &str) -> StateUsage {
        self.database.counters(slot).usage
    }

    /// Deletes all state of a slot. The count of its versions is kept, so that an instance which still holds one never
    /// takes a later value for it.
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

/// Every slot's.
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
