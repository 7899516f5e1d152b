//! How many bytes of unanswered requests the host holds, over all connections and doors.
//!
//! In: a connection that is about to allocate. Out: a [`Hold`], which gives the bytes back when it is dropped.
//! Memory is taken as bytes arrive, so a peer that announces much and sends little holds little. That alone could
//! end with everybody holding a part and waiting for the rest; therefore one request at a time may go over the total,
//! to its end, and what it held is then free for the others: the budget cannot seize up. Nothing here refuses or
//! closes; who waits is slowed down.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

const UNIT: usize = 1024;

/// The shared budget. Counted in KiB, rounded up.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    room: Arc<Semaphore>,
    overdraft: Arc<Mutex<()>>,
}

impl Budget {
    /// What a host holds at most when nothing else is configured.
    pub const DEFAULT_BYTES: usize = 256 << 20;

    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        let total = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Arc::new(Self { total, room: Arc::new(Semaphore::new(total)), overdraft: Arc::default() })
    }

    /// Bytes that are held now, less what the one request over the total holds.
    pub fn in_use(&self) -> usize {
        self.total.saturating_sub(self.room.available_permits()).saturating_mul(UNIT)
    }

    /// An empty hold, to grow as bytes arrive.
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold { budget: self.clone(), permit: None, over: None }
    }
}

/// One request's part of the budget.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    permit: Option<OwnedSemaphorePermit>,
    /// This request is the one that may go over the total.
    over: Option<OwnedMutexGuard<()>>,
}

impl Hold {
    /// Waits until so many more bytes may be held. Dropping the future takes nothing.
    pub async fn grow(&mut self, bytes: usize) {
        if self.over.is_some() || bytes == 0 {
            return;
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        tokio::select! {
            biased;
            permit = self.budget.room.clone().acquire_many_owned(units) => {
                let permit = permit.expect("the semaphore is never closed");
                match &mut self.permit {
                    Some(held) => held.merge(permit),
                    None => self.permit = Some(permit),
                }
            }
            over = self.budget.overdraft.clone().lock_owned() => self.over = Some(over),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn what_is_held_comes_back() {
        let budget = Budget::new(10 * UNIT);
        let mut hold = budget.hold();
        assert!(poll(hold.grow(1)).is_ready());
        assert!(poll(hold.grow(3 * UNIT)).is_ready());
        assert_eq!(budget.in_use(), 4 * UNIT);
        drop(hold);
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn one_request_may_go_over_and_the_rest_wait() {
        let budget = Budget::new(4 * UNIT);
        let [mut first, mut second, mut third] = [budget.hold(), budget.hold(), budget.hold()];
        assert!(poll(first.grow(4 * UNIT)).is_ready());
        assert!(poll(second.grow(UNIT)).is_ready(), "over the total, as the one that may");
        assert!(poll(second.grow(64 * UNIT)).is_ready(), "to its end");
        assert!(poll(third.grow(UNIT)).is_pending());
        assert!(poll(first.grow(UNIT)).is_pending());
        drop(second);
        assert!(poll(third.grow(UNIT)).is_ready());
        assert_eq!(budget.in_use(), 4 * UNIT);
    }

    #[test]
    fn waiting_in_vain_takes_nothing() {
        let budget = Budget::new(2 * UNIT);
        let [mut first, mut over, mut late] = [budget.hold(), budget.hold(), budget.hold()];
        assert!(poll(first.grow(2 * UNIT)).is_ready());
        assert!(poll(over.grow(UNIT)).is_ready());
        assert!(poll(late.grow(UNIT)).is_pending());
        drop((first, over));
        assert_eq!(budget.in_use(), 0);
        assert!(poll(late.grow(2 * UNIT)).is_ready());
    }
}
