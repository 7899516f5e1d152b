//! Pushes that take too long for a listener's threads, where other connections wait.
//!
//! In: the remaining work for a push. Out: its result. Bounded: at most as many at a time as there are processors, over
//! all listeners, each with the memory that decode's limits allow; a waiting push holds the bytes it came with, and
//! what its listener attaches to it. A push that was started is completed even if its caller stops waiting, because
//! admission has counted it.

use std::fmt;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use super::Receipt;
use crate::admission::Refusal;

/// The state of a push that was started.
#[derive(Debug)]
pub enum StartedPush {
    /// It is complete.
    Done(Result<Receipt, Refusal>),
    /// It was admitted, and is too large to be decoded on this thread.
    Large(LargePush),
}

/// The remaining work for a large push: decode and dispatch.
pub struct LargePush {
    permits: DecodePermits,
    rest: Box<dyn FnOnce() -> Result<Receipt, Refusal> + Send>,
}

impl LargePush {
    /// A push that `rest` decodes and dispatches, once one of `permits` is free.
    pub fn new(permits: &DecodePermits, rest: impl FnOnce() -> Result<Receipt, Refusal> + Send + 'static) -> Self {
        Self { permits: permits.clone(), rest: Box::new(rest) }
    }

    /// Completes the push on a thread for blocking work, once it has a permit. Holds `guard` until then, for example a
    /// share of a budget. An error means a panic, or the end of the runtime.
    pub async fn finish(self, guard: impl Send + 'static) -> Result<Result<Receipt, Refusal>, JoinError> {
        let Self { permits, rest } = self;
        let work = async move {
            // The semaphore is never closed.
            let permit = permits.0.acquire_owned().await;
            let done = spawn_blocking(move || {
                let done = rest();
                drop(permit);
                done
            });
            let done = done.await;
            drop(guard);
            done
        };
        tokio::spawn(work).await?
    }
}

impl fmt::Debug for LargePush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Large").finish_non_exhaustive()
    }
}

/// The number of large pushes that are decoded at the same time.
#[derive(Clone, Debug)]
pub struct DecodePermits(Arc<Semaphore>);

impl Default for DecodePermits {
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from))
    }
}

impl DecodePermits {
    pub(crate) fn new(many: usize) -> Self {
        Self(Arc::new(Semaphore::new(many)))
    }

    /// How many more pushes could be decoded at this moment.
    #[cfg(any(test, feature = "testing"))]
    pub fn available(&self) -> usize {
        self.0.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn no_more_pushes_are_decoded_at_a_time_than_there_are_permits() {
        let (permits, begun) = (DecodePermits::new(2), Arc::new(AtomicUsize::new(0)));
        let (release, gate) = mpsc::channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let works: Vec<_> = (0..5)
            .map(|_| {
                let (begun, gate) = (begun.clone(), gate.clone());
                let large = LargePush::new(&permits, move || {
                    begun.fetch_add(1, Ordering::SeqCst);
                    gate.lock().unwrap().recv().unwrap();
                    Ok(Receipt::Accepted(1))
                });
                tokio::spawn(large.finish(()))
            })
            .collect();
        while begun.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        // All five have requested a permit by now, and three of them wait.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!((begun.load(Ordering::SeqCst), permits.0.available_permits()), (2, 0));
        (0..5).for_each(|_| release.send(()).unwrap());
        for work in works {
            assert_eq!(work.await.unwrap().unwrap(), Ok(Receipt::Accepted(1)));
        }
        assert_eq!(permits.0.available_permits(), 2);
    }

    #[tokio::test]
    async fn a_started_push_completes_and_holds_its_guard_when_nobody_awaits_it() {
        let (permits, kept) = (DecodePermits::new(1), Arc::new(()));
        let (done, is_done) = tokio::sync::oneshot::channel();
        let (release, gate) = mpsc::channel::<()>();
        let large = LargePush::new(&permits, move || {
            gate.recv().unwrap();
            done.send(()).unwrap();
            Ok(Receipt::Empty)
        });
        let waiting = tokio::spawn(large.finish(kept.clone()));
        while permits.0.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(Arc::strong_count(&kept), 2, "its bytes are still in memory, so they are still accounted for");
        release.send(()).unwrap();
        is_done.await.unwrap();
        while Arc::strong_count(&kept) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_releases_its_permit() {
        let permits = DecodePermits::new(1);
        let large = LargePush::new(&permits, || std::panic::panic_any("an intended panic"));
        assert!(large.finish(()).await.unwrap_err().is_panic());
        assert_eq!(permits.0.available_permits(), 1);
    }
}
