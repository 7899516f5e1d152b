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
const STATE: TableDefinition<'_, (&str, &str), (u64, &[u8])> = TableDefinition::new("state");
/// Slot → version given last, bytes, keys.
const BOOKS: TableDefinition<'_, &str, (u64, u64, u64)> = TableDefinition::new("state-books");

/// Most bytes of a key.
const KEY_BYTES: usize = 512;
/// Most bytes of a value.
pub(super) const VALUE_BYTES: usize = 256 * 1024;
/// Most keys that are listed at once.
pub(crate) const KEYS_LISTED: usize = 1_000;

/// Most that a slot may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Caps {
    /// Bytes of all keys and values together.
    pub bytes: usize,
    /// How many keys.
    pub keys: usize,
}

/// What a slot keeps, in the terms of its [`Caps`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Bytes of all keys and values together.
    pub bytes: usize,
    /// How many keys.
    pub keys: usize,
}

/// A value and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// At most 256 KiB.
    pub(crate) value: Vec<u8>,
    /// Of a key never the same twice, also when it was deleted in between.
    pub(crate) version: u64,
}

/// What must be there for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// Exactly this version.
    Version(u64),
}

/// Why a change was not made, or a question not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Something else is there than was expected.
    Conflict(Option<Entry>),
    /// A cap; which one, in words.
    Full(String),
    /// The key can be none; why, in words.
    InvalidKey(String),
    /// The store cannot do its part; for the operator, in words.
    Unavailable(String),
}

/// What is known of a slot without looking at its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// The version given last. It only grows, also over [`Store::forget_state`].
    pub(super) last: u64,
    pub(super) usage: Usage,
}

/// By slot.
pub(super) type AllBooks = BTreeMap<Box<str>, Books>;

/// Whether a key can be one.
pub(crate) fn check_key(key: &str) -> Result<(), Refusal> {
    match key.len() {
        0 => Err(Refusal::InvalidKey("a key has at least one byte".into())),
        1..=KEY_BYTES => Ok(()),
        size => Err(Refusal::InvalidKey(format!("the key has {size} bytes; it may have {KEY_BYTES}"))),
    }
}

/// Whether a change may be made where `there` is, and what is used after it. `value` is the size of the new value, or
/// `None` to delete. What is already beyond a cap (the operator lowered it) may shrink.
pub(crate) fn judge(
    (caps, usage): (Caps, Usage),
    (key, there): (&str, Option<&Entry>),
    value: Option<usize>,
    expected: Expected,
) -> Result<Usage, Refusal> {
    let agreed = match expected {
        Expected::Any => true,
        Expected::Absent => there.is_none(),
        Expected::Version(version) => there.is_some_and(|entry| entry.version == version),
    };
    if !agreed {
        return Err(Refusal::Conflict(there.cloned()));
    }
    let size = |value: usize| key.len() + value;
    let old = there.map(|entry| size(entry.value.len()));
    let after = Usage {
        bytes: usage.bytes.saturating_sub(old.unwrap_or(0)).saturating_add(value.map_or(0, size)),
        keys: usage.keys.saturating_sub(usize::from(old.is_some())) + usize::from(value.is_some()),
    };
    let over = |what: &str, before: usize, after: usize, cap: usize| {
        (after > cap && after > before).then(|| Refusal::Full(format!("{after} {what} are wanted; the cap is {cap}")))
    };
    let value_bytes = value.unwrap_or(0);
    let refused = over("bytes in one value", 0, value_bytes, VALUE_BYTES)
        .or_else(|| over("bytes of keys and values", usage.bytes, after.bytes, caps.bytes))
        .or_else(|| over("keys", usage.keys, after.keys, caps.keys));
    refused.map_or(Ok(after), Err)
}

impl Store {
    /// What is under a key.
    pub(crate) fn state(&self, slot: &str, key: &str) -> Result<Option<Entry>, Refusal> {
        check_key(key)?;
        let found = self.base.run(|database| {
            let table = database.begin_read()?.open_table(STATE)?;
            Ok(table.get((slot, key))?.map(|found| entry(found.value())))
        });
        found.map_err(unavailable)
    }

    /// Keys of a slot that begin with `prefix` and stand after `after`, in the order of their bytes, at most `limit`.
    pub(crate) fn state_keys(
        &self,
        slot: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, Refusal> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((slot, after)),
            _ => Bound::Included((slot, prefix)),
        };
        let found = self.base.run(|database| {
            let table = database.begin_read()?.open_table(STATE)?;
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
    pub(crate) fn change_state(
        &self,
        (slot, caps): (&str, Caps),
        key: &str,
        value: Option<Vec<u8>>,
        expected: Expected,
    ) -> Result<u64, Refusal> {
        check_key(key)?;
        let (of, key) = (slot.to_owned(), key.to_owned());
        let changed = self.writer.write(move |change| apply(change, (&of, caps), &key, value.as_deref(), expected));
        let books = changed.map_err(unavailable)??;
        self.base.note(slot, books);
        Ok(books.last)
    }

    /// What a slot keeps. Does not touch the disk.
    pub(crate) fn state_usage(&self, slot: &str) -> Usage {
        self.base.books(slot).usage
    }

    /// Deletes all state of a slot. The count of its versions is kept, so that an instance which still holds one never
    /// takes a later value for it.
    pub fn forget_state(&self, slot: &str) -> anyhow::Result<()> {
        let of = slot.to_owned();
        let books = self.writer.write(move |change| {
            let next = format!("{of}\0");
            let range = (of.as_str(), "")..(next.as_str(), "");
            change.open_table(STATE)?.retain_in(range, |_, _| false)?;
            let mut table = change.open_table(BOOKS)?;
            let known = table.get(of.as_str())?.map(|found| books(found.value()));
            let books = Books { last: known.unwrap_or_default().last + 1, usage: Usage::default() };
            table.insert(of.as_str(), written(books))?;
            Ok(books)
        })?;
        self.base.note(slot, books);
        Ok(())
    }
}

fn apply(
    change: &WriteTransaction,
    (slot, caps): (&str, Caps),
    key: &str,
    value: Option<&[u8]>,
    expected: Expected,
) -> Result<Result<Books, Refusal>, redb::Error> {
    let (mut table, mut all) = (change.open_table(STATE)?, change.open_table(BOOKS)?);
    let known = all.get(slot)?.map(|found| books(found.value())).unwrap_or_default();
    let there = table.get((slot, key))?.map(|found| entry(found.value()));
    let usage = match judge((caps, known.usage), (key, there.as_ref()), value.map(<[u8]>::len), expected) {
        Ok(usage) => usage,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let new = Books { last: known.last + 1, usage };
    match value {
        Some(value) => drop(table.insert((slot, key), (new.last, value))?),
        None => drop(table.remove((slot, key))?),
    }
    all.insert(slot, written(new))?;
    Ok(Ok(new))
}

/// Every slot's.
pub(super) fn all_books(database: &Database) -> Result<AllBooks, redb::Error> {
    let table = database.begin_read()?.open_table(BOOKS)?;
    let mut all = BTreeMap::new();
    for pair in table.iter()? {
        let (slot, found) = pair?;
        all.insert(slot.value().into(), books(found.value()));
    }
    Ok(all)
}

pub(super) fn make_tables(change: &WriteTransaction) -> Result<(), redb::Error> {
    change.open_table(STATE)?;
    change.open_table(BOOKS)?;
    Ok(())
}

fn entry((version, value): (u64, &[u8])) -> Entry {
    Entry { value: value.to_vec(), version }
}

fn books((last, bytes, keys): (u64, u64, u64)) -> Books {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Books { last, usage: Usage { bytes: size(bytes), keys: size(keys) } }
}

fn written(books: Books) -> (u64, u64, u64) {
    (books.last, books.usage.bytes as u64, books.usage.keys as u64)
}

fn unavailable(error: anyhow::Error) -> Refusal {
    Refusal::Unavailable(format!("{error:#}"))
}
