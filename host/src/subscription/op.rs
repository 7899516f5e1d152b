//! What may be done to an entry: the operations of IncrementalAlterConfigs (KIP-339).

use std::collections::BTreeSet;

use super::held::Held;
use super::key::{ENTRY_BYTES, text};
use super::{AlterRefused, Entries, Key};

/// How an entry is altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpKind {
    /// Another value.
    Set,
    /// No value over the wire: what the file says, or the default, counts again.
    Delete,
    /// More elements of a list; those it has already are passed over.
    Append,
    /// Fewer elements of a list.
    Subtract,
}

/// One operation, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The name of a [`Key`], perhaps.
    pub key: String,
    /// What to do.
    pub kind: OpKind,
    /// As text; of no interest to [`OpKind::Delete`].
    pub value: Option<String>,
}

impl OpKind {
    /// By Kafka's number.
    pub fn of(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

/// What is stored of a subscription once all of these are done.
pub(super) fn apply(held: &Held, ops: &[Op]) -> Result<Entries, AlterRefused> {
    let mut stored = held.stored.clone();
    for (nth, op) in ops.iter().enumerate() {
        let key = Key::of(&op.key).ok_or_else(|| unknown(&op.key))?;
        if ops.iter().take(nth).any(|earlier| earlier.key == op.key) {
            return Err(AlterRefused::Request(format!("`{}` is named twice; name each key once", key.as_str())));
        }
        match new_value(held, key, op)? {
            Some(value) => stored.insert(key, value),
            None => stored.remove(&key),
        };
    }
    Ok(stored)
}

fn new_value(held: &Held, key: Key, op: &Op) -> Result<Option<Vec<String>>, AlterRefused> {
    if op.kind == OpKind::Delete {
        return Ok(None);
    }
    let refuse = |why: String| Err(AlterRefused::Config(format!("`{}` {why}", key.as_str())));
    let Some(value) = &op.value else { return refuse("is to be null; delete it instead".into()) };
    if op.kind != OpKind::Set && !key.is_list() {
        return refuse("is a number, no list: nothing can be appended to it or subtracted from it; set it".into());
    }
    let named = key.elements(value)?;
    let mut seen = BTreeSet::new();
    // As Kafka has it since 4.2 (KIP-1161).
    if let Some(twice) = named.iter().find(|name| !seen.insert(*name)) {
        return refuse(format!("names `{}` twice; name it once", super::shown(twice)));
    }
    let now = held.effective(key);
    let value: Vec<String> = match op.kind {
        OpKind::Append => now.iter().cloned().chain(named.into_iter().filter(|name| !now.contains(name))).collect(),
        OpKind::Subtract => now.iter().filter(|name| !named.contains(name)).cloned().collect(),
        OpKind::Set | OpKind::Delete => named,
    };
    match text(&value).len() {
        len if len > ENTRY_BYTES => refuse(format!("would have {len} bytes; it may have {ENTRY_BYTES}")),
        _ => Ok(Some(value)),
    }
}

fn unknown(key: &str) -> AlterRefused {
    let known = Key::ALL.map(Key::as_str).join(", ");
    AlterRefused::Request(format!("`{}` is not a key of a subscription; known are {known}", super::shown(key)))
}
