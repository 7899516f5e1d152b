//! Pushes that take too long for a door's threads, on which other connections wait.
//!
//! In: what is left to do with a push. Out: what became of it. Bounded: so many of them at a time as there are
//! processors, over all doors, each with the memory that decode's caps allow; those that wait hold the bytes they came
//! with, and what else their doors give them to keep. One that was begun is done, whoever still waits for it: admission
//! has counted it.

use std::fmt;
use std::sync::Arc;
use std::thread::available_parallelism;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use super::Receipt;
use crate::admission::Refusal;

/// What became of a push so far.
#[derive(Debug)]
pub enum StartedPush {
    /// All of it.
    Done(Result<Receipt, Refusal>),
    /// It was admitted, and is too large to be decoded here.
    Large(LargePush),
}

/// The rest of a large push: decode and dispatch.
pub struct LargePush {
    permits: DecodePermits,
    rest: Box<dyn FnOnce() -> Result<Receipt, Refusal> + Send>,
}

impl LargePush {
    pub(crate) fn new(
        permits: &DecodePermits,
        rest: impl FnOnce() -> Result<Receipt, Refusal> + Send + 'static,
    ) -> Self {
        Self { permits: permits.clone(), rest: Box::new(rest) }
    }

    /// Does the rest on a thread for blocking work, when it is its turn. Keeps `kept` until then, for example a part of
    /// a budget. An error is a panic in there, or the end of the runtime.
    pub async fn finish(self, guard: impl Send + 'static) -> Result<Result<Receipt, Refusal>, JoinError> {
        let Self { permits, rest } = self;
        let work = async move {
            // It is never closed.
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

/// How many large pushes are decoded at a time.
#[derive(Clone, Debug)]
pub(crate) struct DecodePermits(Arc<Semaphore>);

impl Default for DecodePermits {
    fn default() -> Self {
        Self::new(available_parallelism().map_or(1, usize::from))
    }
}

impl DecodePermits {
    pub(crate) fn new(many: usize) -> Self {
        Self(Arc::new(Semaphore::new(many)))
    }

    #[cfg(test)]
    pub(crate) fn available(&self) -> usize {
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
        // All five have asked for a turn by now, and those without one wait.
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
        assert_eq!(Arc::strong_count(&kept), 2, "its bytes are still there, so they are still counted");
        release.send(()).unwrap();
        is_done.await.unwrap();
        while Arc::strong_count(&kept) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_panic_releases_its_permit() {
        let permits = DecodePermits::new(1);
        let large = LargePush::new(&permits, || std::panic::panic_any("a fault of the host, as this test wants it"));
        assert!(large.finish(()).await.unwrap_err().is_panic());
        assert_eq!(permits.0.available_permits(), 1);
    }
}
