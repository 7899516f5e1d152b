//! Copies of the batches of a generation, for a candidate in the shadow stage.
//!
//! In: settled batches. Out: [`MirroredBatch`] values, to the receiver that is attached. Bounded in batches; while the
//! queue is full no copy is made, so that a slow candidate does not delay the serving generation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use barnabas_pipeline::dispatch::{Delivery, Settlement};
use barnabas_pipeline::push::DepartedClient;
use barnabas_runtime::capability::egress::SentRequest;

/// Maximum number of copies in the queue. Their pushes stay in memory in addition to those in the slot.
const MAX_WAITING_COPIES: usize = 4;

/// One batch, and what the serving generation did with it.
#[derive(Debug)]
pub struct MirroredBatch {
    /// Its pushes.
    pub deliveries: Arc<[Delivery]>,
    /// Its notices.
    pub departed: Arc<[DepartedClient]>,
    /// How it was settled.
    pub settled: Settlement,
    /// CPU time of the call.
    pub cpu: Duration,
    /// The requests that were sent for it.
    pub sent: Vec<SentRequest>,
}

/// The sending side, to which a receiver can be attached. Shared by the workers of a generation.
#[derive(Clone, Debug, Default)]
pub struct BatchMirror(Arc<MirrorInner>);

#[derive(Debug, Default)]
struct MirrorInner {
    attached: AtomicBool,
    sender: Mutex<Option<mpsc::Sender<MirroredBatch>>>,
}

impl BatchMirror {
    /// Attaches a receiver, which gets copies until it is dropped.
    pub fn attach(&self) -> mpsc::Receiver<MirroredBatch> {
        let (to, copies) = mpsc::channel(MAX_WAITING_COPIES);
        *self.0.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        self.0.attached.store(true, Ordering::Relaxed);
        copies
    }

    /// Whether a receiver is attached.
    pub fn is_attached(&self) -> bool {
        self.0.attached.load(Ordering::Relaxed)
    }

    /// Sends a copy, if the queue is not full.
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
        assert!(mirror.is_attached(), "copies beyond the queue are not made, and the receiver stays attached");
        let taken = std::iter::from_fn(|| copies.try_recv().ok()).count();
        assert_eq!(taken, MAX_WAITING_COPIES);
        drop(copies);
        mirror.offer(copied());
        assert!(!mirror.is_attached(), "the receiver was dropped");
    }
}
