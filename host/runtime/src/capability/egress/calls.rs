//! What one instance has under way, so that all of it ends with the call it was begun in.
//!
//! In: answers that are not read to their end, and destinations that were refused. Out: their end, at the latest with
//! the call. A guest's handle on an answer is a number into here, so what a guest forgets is dropped without it, and
//! with it the connection and the place among the requests under way. Bounded by these places, and by the handles that
//! a guest may hold.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::RequestBody;
use super::body::RequestRecord;
use super::response_cache::ResponseRecorder;

/// The calls of one instance, one after the other. Clones are of the same instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<CallsInner>);

#[derive(Debug, Default)]
struct CallsInner {
    /// How many calls are over.
    ended: watch::Sender<u64>,
    current: Mutex<CurrentCall>,
}

/// What the call at hand has begun.
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

/// An answer that is not read to its end.
pub(super) struct OpenResponse {
    pub(super) body: RequestBody,
    pub(super) record: RequestRecord,
    /// For those who are answered alike later.
    pub(super) recorder: Option<ResponseRecorder>,
    pub(super) _unread: UnreadGuard,
}

/// Counts one answer as unread for as long as it lives.
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
    /// The call at hand.
    pub(super) fn current(&self) -> Call {
        Call { number: *self.0.ended.borrow(), calls: self.clone() }
    }

    /// Ends the call at hand and everything that it left open. The last destination that was refused to it, in a
    /// sentence.
    pub(super) fn end(&self) -> Option<String> {
        let mut current = self.lock();
        // Under the lock, so that an answer which comes now finds its call over.
        self.0.ended.send_modify(|over| *over += 1);
        let (answers, denied) = (std::mem::take(&mut current.responses), current.denied.take());
        drop(current);
        // Not under the lock: their events are emitted here.
        drop(answers);
        denied
    }

    fn lock(&self) -> MutexGuard<'_, CurrentCall> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One call, at hand or over.
#[derive(Clone, Debug)]
pub(super) struct Call {
    calls: Calls,
    number: u64,
}

impl Call {
    /// Waits for its end.
    pub(super) async fn wait_for_end(self) {
        let mut over = self.calls.0.ended.subscribe();
        // The sender lives as long as `self`.
        let _ = over.wait_for(|over| *over != self.number).await;
    }

    /// Keeps an answer until it is taken or the call is over. `None` where it is over already: then the answer is
    /// dropped.
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

    /// Looks at an answer. `None` where it was taken, or its call is over.
    pub(super) fn with_response<T>(&self, key: u64, look: impl FnOnce(&mut OpenResponse) -> T) -> Option<T> {
        self.calls.lock().responses.get_mut(&key).map(look)
    }

    /// Ends the keeping of an answer. Dropping it ends the request.
    pub(super) fn remove(&self, key: u64) -> Option<OpenResponse> {
        self.calls.lock().responses.remove(&key)
    }

    /// Notes a destination that was refused to it.
    pub(super) fn record_denial(&self, sentence: String) {
        let mut current = self.calls.lock();
        if *self.calls.0.ended.borrow() == self.number {
            current.denied = Some(sentence);
        }
    }
}
