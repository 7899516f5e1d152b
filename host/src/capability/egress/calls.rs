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
use super::answers::Noting;
use super::body::Record;

/// The calls of one instance, one after the other. Clones are of the same instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many calls are over.
    over: watch::Sender<u64>,
    at_hand: Mutex<AtHand>,
}

/// What the call at hand has begun.
#[derive(Default)]
struct AtHand {
    next: u64,
    answers: HashMap<u64, Answer>,
    denied: Option<String>,
}

impl std::fmt::Debug for AtHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtHand").field("answers", &self.answers.len()).field("denied", &self.denied).finish()
    }
}

/// An answer that is not read to its end.
pub(super) struct Answer {
    pub(super) body: RequestBody,
    pub(super) record: Record,
    /// For those who are answered alike later.
    pub(super) noting: Option<Noting>,
    pub(super) _unread: Unread,
}

/// Counts one answer as unread for as long as it lives.
pub(super) struct Unread(Arc<AtomicUsize>);

impl Unread {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Calls {
    /// The call at hand.
    pub(super) fn current(&self) -> Call {
        Call { number: *self.0.over.borrow(), calls: self.clone() }
    }

    /// Ends the call at hand and everything that it left open. The last destination that was refused to it, in a
    /// sentence.
    pub(super) fn end(&self) -> Option<String> {
        let mut at_hand = self.lock();
        // Under the lock, so that an answer which comes now finds its call over.
        self.0.over.send_modify(|over| *over += 1);
        let (answers, denied) = (std::mem::take(&mut at_hand.answers), at_hand.denied.take());
        drop(at_hand);
        // Not under the lock: their events are emitted here.
        drop(answers);
        denied
    }

    fn lock(&self) -> MutexGuard<'_, AtHand> {
        self.0.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
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
    pub(super) async fn over(self) {
        let mut over = self.calls.0.over.subscribe();
        // The sender lives as long as `self`.
        let _ = over.wait_for(|over| *over != self.number).await;
    }

    /// Keeps an answer until it is taken or the call is over. `None` where it is over already: then the answer is
    /// dropped.
    pub(super) fn keep(&self, answer: Answer) -> Option<u64> {
        let mut at_hand = self.calls.lock();
        if *self.calls.0.over.borrow() != self.number {
            drop(at_hand);
            return None;
        }
        let key = at_hand.next;
        at_hand.next += 1;
        at_hand.answers.insert(key, answer);
        Some(key)
    }

    /// Looks at an answer. `None` where it was taken, or its call is over.
    pub(super) fn look<T>(&self, key: u64, look: impl FnOnce(&mut Answer) -> T) -> Option<T> {
        self.calls.lock().answers.get_mut(&key).map(look)
    }

    /// Ends the keeping of an answer. Dropping it ends the request.
    pub(super) fn take(&self, key: u64) -> Option<Answer> {
        self.calls.lock().answers.remove(&key)
    }

    /// Notes a destination that was refused to it.
    pub(super) fn deny(&self, sentence: String) {
        let mut at_hand = self.calls.lock();
        if *self.calls.0.over.borrow() == self.number {
            at_hand.denied = Some(sentence);
        }
    }
}
