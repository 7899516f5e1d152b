//! The operations of IncrementalAlterConfigs (KIP-339).

use std::collections::BTreeSet;

use super::effective::EffectiveSubscription;
use super::key::{ENTRY_BYTES, text};
use super::{AlterError, Entries, SubscriptionKey};

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryOpKind {
    /// Set a value.
    Set,
    /// Remove the altered value: the file's value or the default is effective again.
    Delete,
    /// Add elements to a list; existing ones are ignored.
    Append,
    /// Remove elements from a list.
    Subtract,
}

/// One operation, as requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryOp {
    /// The name of a [`SubscriptionKey`], if it is valid.
    pub key: String,
    /// The kind.
    pub kind: EntryOpKind,
    /// As text; ignored by [`EntryOpKind::Delete`].
    pub value: Option<String>,
}

impl EntryOpKind {
    /// The kind with this number in Kafka's protocol.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

/// The stored entries of a subscription after these operations.
pub(super) fn apply(held: &EffectiveSubscription, ops: &[EntryOp]) -> Result<Entries, AlterError> {
    let mut stored = held.stored.clone();
    for (nth, op) in ops.iter().enumerate() {
        let key = SubscriptionKey::from_name(&op.key).ok_or_else(|| unknown_key(&op.key))?;
        if ops.iter().take(nth).any(|earlier| earlier.key == op.key) {
            return Err(AlterError::Request(format!(
                "`{}` occurs twice in the request; send each key once",
                key.as_str()
            )));
        }
        match new_value(held, key, op)? {
            Some(value) => stored.insert(key, value),
            None => stored.remove(&key),
        };
    }
    Ok(stored)
}

fn new_value(
    held: &EffectiveSubscription,
    key: SubscriptionKey,
    op: &EntryOp,
) -> Result<Option<Vec<String>>, AlterError> {
    if op.kind == EntryOpKind::Delete {
        return Ok(None);
    }
    let refuse = |why: String| Err(AlterError::Config(format!("`{}` {why}", key.as_str())));
    let Some(value) = &op.value else { return refuse("must not be null; delete it instead".into()) };
    if op.kind != EntryOpKind::Set && !key.is_list() {
        return refuse("is a number and not a list; use SET instead of APPEND or SUBTRACT".into());
    }
    let named = key.elements(value)?;
    let mut seen = BTreeSet::new();
    // As in Kafka since 4.2 (KIP-1161).
    if let Some(twice) = named.iter().find(|name| !seen.insert(*name)) {
        return refuse(format!("contains `{}` twice; write it once", super::excerpt(twice)));
    }
    let now = held.effective(key);
    let value: Vec<String> = match op.kind {
        EntryOpKind::Append => {
            now.iter().cloned().chain(named.into_iter().filter(|name| !now.contains(name))).collect()
        }
        EntryOpKind::Subtract => now.iter().filter(|name| !named.contains(name)).cloned().collect(),
        EntryOpKind::Set | EntryOpKind::Delete => named,
    };
    match text(&value).len() {
        len if len > ENTRY_BYTES => refuse(format!("would have {len} bytes; the maximum is {ENTRY_BYTES}")),
        _ => Ok(Some(value)),
    }
}

fn unknown_key(key: &str) -> AlterError {
    let known = SubscriptionKey::ALL.map(SubscriptionKey::as_str).join(", ");
    AlterError::Request(format!("`{}` is not a key of a subscription; the keys are {known}", super::excerpt(key)))
}
