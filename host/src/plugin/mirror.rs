//! Copies of the batches that a generation was given, for a candidate that is tried in its shadow.
//!
//! In: batches that were settled. Out: [`Copied`], to whoever compares. Bounded in batches; a copy for which there is
//! no room is not made, so that a slow candidate costs the live one nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::capability::egress::SentRequest;
use crate::dispatch::{Delivery, Settlement};
use crate::push::DepartedClient;

/// Most copies that wait. Their pushes stay in memory meanwhile, beside what the slot may hold.
const WAITING: usize = 4;

/// One batch, and what the live generation made of it.
#[derive(Debug)]
pub struct Copied {
    /// Its pushes.
    pub deliveries: Arc<[Delivery]>,
    /// Its notices.
    pub gone: Arc<[DepartedClient]>,
    /// What became of it.
    pub settled: Settlement,
    /// CPU time of the call.
    pub cpu: Duration,
    /// What was sent for it.
    pub sent: Vec<SentRequest>,
}

/// The place where a mirror can be hung. Shared by the workers of a generation.
#[derive(Clone, Debug, Default)]
pub struct Mirror(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    hung: AtomicBool,
    to: Mutex<Option<mpsc::Sender<Copied>>>,
}

impl Mirror {
    /// Copies go to the returned end until it is dropped.
    pub fn hang(&self) -> mpsc::Receiver<Copied> {
        let (to, copies) = mpsc::channel(WAITING);
        *self.0.to.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        self.0.hung.store(true, Ordering::Relaxed);
        copies
    }

    /// Whether a copy would be taken.
    pub fn wants(&self) -> bool {
        self.0.hung.load(Ordering::Relaxed)
    }

    /// Makes a copy, where there is room for it.
    pub(super) fn offer(&self, copied: Copied) {
        let mut to = self.0.to.lock().unwrap_or_else(PoisonError::into_inner);
        let closed =
            to.as_ref().is_none_or(|to| matches!(to.try_send(copied), Err(mpsc::error::TrySendError::Closed(_))));
        if closed {
            *to = None;
            self.0.hung.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied() -> Copied {
        let (settled, cpu) = (Settlement::default(), Duration::ZERO);
        Copied { deliveries: Arc::default(), gone: Arc::default(), settled, cpu, sent: Vec::new() }
    }

    #[test]
    fn nothing_is_copied_unless_somebody_looks() {
        let mirror = Mirror::default();
        assert!(!mirror.wants());
        let mut copies = mirror.hang();
        assert!(mirror.wants());
        for _ in 0..=WAITING {
            mirror.offer(copied());
        }
        assert!(mirror.wants(), "a copy too many is not made, and that is all");
        let taken = std::iter::from_fn(|| copies.try_recv().ok()).count();
        assert_eq!(taken, WAITING);
        drop(copies);
        mirror.offer(copied());
        assert!(!mirror.wants(), "nobody looks any more");
    }
}
