//! The open responses of one instance, which all end with the call that started them.
//!
//! In: responses that are not read completely, and destinations that were denied. Out: their end, with the call at the
//! latest. The handle of a guest on a response is only a key into this module. So the response, its connection and its
//! permit are dropped at the end of the call, even if the guest leaks the handle. Bounded by the permits, and by the
//! number of handles that a guest may have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::RequestBody;
use super::body::RequestRecord;
use super::response_cache::ResponseRecorder;

/// The calls of one instance, one after the other. Clones belong to the same instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<CallsInner>);

#[derive(Debug, Default)]
struct CallsInner {
    /// The number of calls that have ended.
    ended: watch::Sender<u64>,
    current: Mutex<CurrentCall>,
}

/// What the current call has started.
#[derive(Default)]
struct CurrentCall {
    next: u64,
    responses: HashMap<u64, OpenResponse>,
    denied: Option<String>,
}

impl std::fmt::Debug for CurrentCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtHand").field("answers", &self.responses.len()).field("denied", &self.denied).finish()
    }
}

/// A response that is not read completely.
pub(super) struct OpenResponse {
    pub(super) body: RequestBody,
    pub(super) record: RequestRecord,
    /// Records the response for the cache.
    pub(super) recorder: Option<ResponseRecorder>,
    pub(super) _unread: UnreadGuard,
}

/// Counts one response as unread until it is dropped.
pub(super) struct UnreadGuard(Arc<AtomicUsize>);

impl UnreadGuard {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for UnreadGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Calls {
    /// The current call.
    pub(super) fn current(&self) -> Call {
        Call { number: *self.0.ended.borrow(), calls: self.clone() }
    }

    /// Ends the current call and everything that it left open. Returns a sentence about the last destination that was
    /// denied to it.
    pub(super) fn end(&self) -> Option<String> {
        let mut current = self.lock();
        // Under the lock, so that a response that arrives now finds its call ended.
        self.0.ended.send_modify(|over| *over += 1);
        let (answers, denied) = (std::mem::take(&mut current.responses), current.denied.take());
        drop(current);
        // After the unlock, because dropping the responses emits their events.
        drop(answers);
        denied
    }

    fn lock(&self) -> MutexGuard<'_, CurrentCall> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call, which is the current one or has ended.
#[derive(Clone, Debug)]
pub(super) struct Call {
    calls: Calls,
    number: u64,
}

impl Call {
    /// Waits for the end of the call.
    pub(super) async fn wait_for_end(self) {
        let mut over = self.calls.0.ended.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = over.wait_for(|over| *over != self.number).await;
    }

    /// Stores a response until it is removed or the call ends. Returns `None` and drops the response if the call has
    /// already ended.
    pub(super) fn register(&self, answer: OpenResponse) -> Option<u64> {
        let mut current = self.calls.lock();
        if *self.calls.0.ended.borrow() != self.number {
            drop(current);
            return None;
        }
        let key = current.next;
        current.next += 1;
        current.responses.insert(key, answer);
        Some(key)
    }

    /// Calls `look` with a response. Returns `None` if it was removed or its call has ended.
    pub(super) fn with_response<T>(&self, key: u64, look: impl FnOnce(&mut OpenResponse) -> T) -> Option<T> {
        self.calls.lock().responses.get_mut(&key).map(look)
    }

    /// Removes a response. Dropping it ends the request.
    pub(super) fn remove(&self, key: u64) -> Option<OpenResponse> {
        self.calls.lock().responses.remove(&key)
    }

    /// Records a destination that was denied.
    pub(super) fn record_denial(&self, sentence: String) {
        let mut current = self.calls.lock();
        if *self.calls.0.ended.borrow() == self.number {
            current.denied = Some(sentence);
        }
    }
}
