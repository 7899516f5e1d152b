//! The persistent state of a slot: the interface `state` of the contract.
//!
//! In: reads and changes of a guest, for the state of its slot. Out: results from the [`Store`], or in a trial from an
//! overlay that is discarded after the trial. Bounded by the [`StateQuota`] that the operator granted. Disk access runs on
//! blocking threads, never on the threads of guests; a waiting guest uses no CPU.

mod trial_overlay;

use std::sync::Arc;

use super::HostState;
use crate::contract::wit::kafka_telemetry::receiver::state as wit;
use barnabas_storage::store::{MAX_KEYS_PER_LIST, Precondition, StateEntry, StateStoreError, Store};

pub use barnabas_storage::store::{StateQuota, StateUsage};
use trial_overlay::TrialOverlay;

/// The state of a slot, for one receiver. Clones are cheap and share the state. Its methods block.
#[derive(Clone, Default)]
pub struct SlotState(StateBackend);

#[derive(Clone, Default)]
enum StateBackend {
    #[default]
    NotGranted,
    Slot {
        store: Store,
        slot: Arc<str>,
        caps: StateQuota,
    },
    Overlay(Arc<TrialOverlay>),
}

impl SlotState {
    /// A state that was not granted: every operation fails with `unavailable`.
    pub fn not_granted() -> Self {
        Self::default()
    }

    /// The state of the slot with this name, with these caps.
    pub fn for_slot(store: &Store, slot: &str, caps: StateQuota) -> Self {
        Self(StateBackend::Slot { store: store.clone(), slot: slot.into(), caps })
    }

    /// An overlay for a trial: it reads the current state, and records changes in memory, with the same caps, until its
    /// last clone is dropped. The changes never reach the slot.
    #[must_use]
    pub fn trial_overlay(&self) -> Self {
        match self.caps() {
            Some(caps) => Self(StateBackend::Overlay(Arc::new(TrialOverlay::new(self.clone(), caps)))),
            None => Self::not_granted(),
        }
    }

    /// Whether the operator granted state.
    pub fn is_granted(&self) -> bool {
        !matches!(self.0, StateBackend::NotGranted)
    }

    /// The caps, or `None` if the state was not granted.
    pub fn caps(&self) -> Option<StateQuota> {
        match &self.0 {
            StateBackend::NotGranted => None,
            StateBackend::Slot { caps, .. } => Some(*caps),
            StateBackend::Overlay(scratch) => Some(scratch.caps()),
        }
    }

    /// The current usage, for the status of the plugin. It does not access the disk.
    pub fn usage(&self) -> StateUsage {
        match &self.0 {
            StateBackend::NotGranted => StateUsage::default(),
            StateBackend::Slot { store, slot, .. } => store.state_usage(slot),
            StateBackend::Overlay(scratch) => scratch.usage(),
        }
    }

    /// The lower bound for the versions of an overlay over this state.
    fn version_floor(&self) -> u64 {
        match &self.0 {
            StateBackend::NotGranted | StateBackend::Slot { .. } => 0,
            StateBackend::Overlay(scratch) => scratch.version_floor(),
        }
    }

    fn get(&self, key: &str) -> Result<Option<StateEntry>, StateStoreError> {
        match &self.0 {
            StateBackend::NotGranted => Err(not_granted_error()),
            StateBackend::Slot { store, slot, .. } => store.get_state(slot, key),
            StateBackend::Overlay(scratch) => scratch.get(key),
        }
    }

    /// Sets the value of a key, or deletes the key if `value` is `None`, and returns the new version.
    fn change(&self, key: &str, value: Option<Vec<u8>>, expected: Precondition) -> Result<u64, StateStoreError> {
        match &self.0 {
            StateBackend::NotGranted => Err(not_granted_error()),
            StateBackend::Slot { store, slot, caps } => store.write_state((slot, *caps), key, value, expected),
            StateBackend::Overlay(scratch) => scratch.change(key, value, expected),
        }
    }

    fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, StateStoreError> {
        match &self.0 {
            StateBackend::NotGranted => Err(not_granted_error()),
            StateBackend::Slot { store, slot, .. } => store.list_state_keys(slot, prefix, after, limit),
            StateBackend::Overlay(scratch) => scratch.keys(prefix, after, limit),
        }
    }
}

/// The message for a receiver without the grant.
const NOT_GRANTED_MESSAGE: &str = "state is not granted: add `state = \"1MiB\"` to [grants] in the plugin's manifest";

fn not_granted_error() -> StateStoreError {
    StateStoreError::Unavailable(NOT_GRANTED_MESSAGE.into())
}

impl wit::Host for HostState {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<wit::Entry>, wit::StateError>> {
        Ok(run_blocking(&self.slot_state, move |shelf| shelf.get(&key)).await.map(|found| found.map(Into::into)))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<u64, wit::StateError>> {
        Ok(run_blocking(&self.slot_state, move |shelf| shelf.change(&key, Some(value), Precondition::Any)).await)
    }

    async fn compare_and_set(
        &mut self,
        key: String,
        value: Vec<u8>,
        expected: Option<u64>,
    ) -> wasmtime::Result<Result<u64, wit::StateError>> {
        let expected = expected.map_or(Precondition::Absent, Precondition::Version);
        Ok(run_blocking(&self.slot_state, move |shelf| shelf.change(&key, Some(value), expected)).await)
    }

    async fn delete(&mut self, key: String, expected: Option<u64>) -> wasmtime::Result<Result<(), wit::StateError>> {
        let expected = expected.map_or(Precondition::Any, Precondition::Version);
        Ok(run_blocking(&self.slot_state, move |shelf| shelf.change(&key, None, expected).map(|_| ())).await)
    }

    async fn keys(
        &mut self,
        prefix: String,
        after: Option<String>,
        limit: u32,
    ) -> wasmtime::Result<Result<Vec<String>, wit::StateError>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MAX_KEYS_PER_LIST);
        Ok(run_blocking(&self.slot_state, move |shelf| shelf.keys(&prefix, after.as_deref(), limit)).await)
    }
}

/// Runs the operation on a blocking thread. If the guest is discarded meanwhile, its change still takes effect.
async fn run_blocking<T: Send + 'static>(
    state: &SlotState,
    operation: impl FnOnce(&SlotState) -> Result<T, StateStoreError> + Send + 'static,
) -> Result<T, wit::StateError> {
    if !state.is_granted() {
        return Err(wit::StateError::Unavailable(NOT_GRANTED_MESSAGE.into()));
    }
    let state = state.clone();
    let answer = tokio::task::spawn_blocking(move || operation(&state)).await;
    answer.unwrap_or_else(|_| Err(StateStoreError::Unavailable(String::new()))).map_err(Into::into)
}

impl From<StateEntry> for wit::Entry {
    fn from(StateEntry { value, version }: StateEntry) -> Self {
        Self { value, version }
    }
}

impl From<StateStoreError> for wit::StateError {
    fn from(refusal: StateStoreError) -> Self {
        match refusal {
            StateStoreError::Conflict(current) => Self::Conflict(current.map(Into::into)),
            StateStoreError::QuotaExceeded(reason) => Self::Full(reason),
            StateStoreError::InvalidKey(reason) => Self::InvalidKey(reason),
            // The message of the store contains paths of the host, which a guest must not see; the log of the host has
            // it.
            StateStoreError::Unavailable(_) => {
                Self::Unavailable("the store of the host cannot be used now; see the log of the host".into())
            }
        }
    }
}

#[cfg(test)]
mod tests;
