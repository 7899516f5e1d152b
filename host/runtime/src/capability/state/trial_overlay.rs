//! The state for a trial: an overlay of discarded changes over the state of the slot.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{SlotState, StateQuota, StateUsage};
use barnabas_storage::store::{Precondition, StateEntry, StateStoreError, check_change, check_key};

/// The offset of the versions of an overlay from those of its base. The base counts single changes and never reaches
/// it.
const VERSION_OFFSET: u64 = 1 << 48;

pub(super) struct TrialOverlay {
    base: SlotState,
    caps: StateQuota,
    /// Every version that this overlay issues is greater than this one.
    version_floor: u64,
    changes: Mutex<OverlayChanges>,
}

#[derive(Default)]
struct OverlayChanges {
    /// `None` means that the key was deleted.
    keys: BTreeMap<String, Option<StateEntry>>,
    /// The number of versions that were issued.
    versions_issued: u64,
    usage: StateUsage,
}

impl TrialOverlay {
    pub(super) fn new(base: SlotState, caps: StateQuota) -> Self {
        let version_floor = base.version_floor() + VERSION_OFFSET;
        let changes = Mutex::new(OverlayChanges { usage: base.usage(), ..OverlayChanges::default() });
        Self { base, caps, version_floor, changes }
    }

    pub(super) fn caps(&self) -> StateQuota {
        self.caps
    }

    /// The usage of the base at the start of the trial, updated by the changes of the overlay.
    pub(super) fn usage(&self) -> StateUsage {
        self.lock().usage
    }

    pub(super) fn version_floor(&self) -> u64 {
        self.version_floor
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<StateEntry>, StateStoreError> {
        check_key(key)?;
        self.current(&self.lock(), key)
    }

    pub(super) fn change(
        &self,
        key: &str,
        value: Option<Vec<u8>>,
        expected: Precondition,
    ) -> Result<u64, StateStoreError> {
        check_key(key)?;
        // Locked while it reads the base, so that of two concurrent changes the second one sees the first.
        let mut changes = self.lock();
        let current = self.current(&changes, key)?;
        let size = value.as_ref().map(Vec::len);
        changes.usage = check_change((self.caps, changes.usage), (key, current.as_ref()), size, expected)?;
        changes.versions_issued += 1;
        let version = self.version_floor + changes.versions_issued;
        changes.keys.insert(key.to_owned(), value.map(|value| StateEntry { value, version }));
        Ok(version)
    }

    pub(super) fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StateStoreError> {
        let changes = self.lock();
        // Each change may hide one key of the base.
        let base = self.base.keys(prefix, after, limit.saturating_add(changes.keys.len()))?;
        let hidden = |key: &String| changes.keys.contains_key(key);
        let mut keys: Vec<String> = base.into_iter().filter(|key| !hidden(key)).collect();
        let overlaid = changes.keys.iter().filter(|(_, entry)| entry.is_some()).map(|(key, _)| key);
        keys.extend(
            overlaid.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after)).cloned(),
        );
        keys.sort();
        keys.truncate(limit);
        Ok(keys)
    }

    fn current(&self, changes: &OverlayChanges, key: &str) -> Result<Option<StateEntry>, StateStoreError> {
        match changes.keys.get(key) {
            Some(changed) => Ok(changed.clone()),
            None => self.base.get(key),
        }
    }

    fn lock(&self) -> MutexGuard<'_, OverlayChanges> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
