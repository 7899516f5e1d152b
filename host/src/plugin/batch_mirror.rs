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
const MAX_WAITING_COPIES: usize = 4;

/// One batch, and what the live generation made of it.
#[derive(Debug)]
pub struct MirroredBatch {
    /// Its pushes.
    pub deliveries: Arc<[Delivery]>,
    /// Its notices.
    pub departed: Arc<[DepartedClient]>,
    /// What became of it.
    pub settled: Settlement,
    /// CPU time of the call.
    pub cpu: Duration,
    /// What was sent for it.
    pub sent: Vec<SentRequest>,
}

/// The place where a mirror can be hung. Shared by the workers of a generation.
#[derive(Clone, Debug, Default)]
pub struct BatchMirror(Arc<MirrorInner>);

#[derive(Debug, Default)]
struct MirrorInner {
    attached: AtomicBool,
    sender: Mutex<Option<mpsc::Sender<MirroredBatch>>>,
}

impl BatchMirror {
    /// Copies go to the returned end until it is dropped.
    pub fn attach(&self) -> mpsc::Receiver<MirroredBatch> {
        let (to, copies) = mpsc::channel(MAX_WAITING_COPIES);
        *self.0.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        self.0.attached.store(true, Ordering::Relaxed);
        copies
    }

    /// Whether a copy would be taken.
    pub fn is_attached(&self) -> bool {
        self.0.attached.load(Ordering::Relaxed)
    }

    /// Makes a copy, where there is room for it.
    pub(super) fn offer(&self, copied: MirroredBatch) {
        let mut to = self.0.sender.lock().unwrap_or_else(PoisonError::into_inner);
        let closed =
            to.as_ref().is_none_or(|to| matches!(to.try_send(copied), Err(mpsc::error::TrySendError::Closed(_))));
        if closed {
            *to = None;
            self.0.attached.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied() -> MirroredBatch {
        let (settled, cpu) = (Settlement::default(), Duration::ZERO);
        MirroredBatch { deliveries: Arc::default(), departed: Arc::default(), settled, cpu, sent: Vec::new() }
    }

    #[test]
    fn nothing_is_copied_unless_a_receiver_is_attached() {
        let mirror = BatchMirror::default();
        assert!(!mirror.is_attached());
        let mut copies = mirror.attach();
        assert!(mirror.is_attached());
        for _ in 0..=MAX_WAITING_COPIES {
            mirror.offer(copied());
        }
        assert!(mirror.is_attached(), "a copy too many is not made, and that is all");
        let taken = std::iter::from_fn(|| copies.try_recv().ok()).count();
        assert_eq!(taken, MAX_WAITING_COPIES);
        drop(copies);
        mirror.offer(copied());
        assert!(!mirror.is_attached(), "nobody looks any more");
    }
}
