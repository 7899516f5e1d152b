//! A budget for the bytes of requests in flight, over all connections and listeners.
//!
//! In: a connection that is about to allocate. Out: a [`Hold`], which returns its bytes to the budget when it is
//! dropped. Bytes are reserved as they arrive, so a peer that announces a large request and sends little of it reserves
//! little. That alone could deadlock: every request could hold a part and wait for the rest. Therefore one request at a
//! time may exceed the total until it is complete, and its bytes are then free for the others. The same rule applies
//! within the share of each source, a quarter of the total: a source that sends many incomplete requests waits for its
//! own requests only, and three more sources must do the same before any other source waits. The budget never refuses a
//! request and never closes a connection; it only delays.
//!
//! A cycle of waiting requests is impossible. The request that may exceed the total waits for nothing, not even for its
//! source's share, so it completes; any request that waits for the total may be the next one. A request that waits for
//! a share waits for other requests of its source, one of which may exceed the share, and that one waits for the total
//! at most. No request has two holds.

mod share;

use std::net::IpAddr;
use std::sync::Arc;

pub(super) use share::network;
use share::{SourceShare, SourceShares};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

const UNIT: usize = 1024;
/// A source gets at most one in this many of the units.
const SHARES: usize = 4;

/// The shared budget. It counts KiB, rounded up.
#[derive(Debug)]
pub struct ByteBudget {
    total: usize,
    permits: Arc<Semaphore>,
    overdraft: Arc<Mutex<()>>,
    shares: SourceShares,
}

impl ByteBudget {
    /// The default size of the budget.
    pub const DEFAULT_BYTES: usize = 256 << 20;

    /// A budget of this many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        let total = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        let (room, shares) = (Arc::new(Semaphore::new(total)), SourceShares::new(total.div_ceil(SHARES)));
        Arc::new(Self { total, permits: room, overdraft: Arc::default(), shares })
    }

    /// Bytes that are held now, without those of the one request that exceeds the total.
    pub fn in_use(&self) -> usize {
        self.total.saturating_sub(self.permits.available_permits()).saturating_mul(UNIT)
    }

    /// An empty hold, which grows as bytes arrive.
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold { budget: self.clone(), total: HeldPermits::default(), share: None }
    }

    /// An empty hold within the share of this peer's address (for IPv6, of its first 64 bits).
    pub fn hold_for(self: &Arc<Self>, source: IpAddr) -> Hold {
        Hold { share: Some((self.shares.get(source), HeldPermits::default())), ..self.hold() }
    }
}

/// One request's part of the budget.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<ByteBudget>,
    total: HeldPermits,
    /// The share of the request's source.
    share: Option<(Arc<SourceShare>, HeldPermits)>,
}

/// What one request holds of one semaphore.
#[derive(Debug, Default)]
struct HeldPermits {
    permit: Option<OwnedSemaphorePermit>,
    /// Set while this is the one request that may exceed the limit.
    overdraft: Option<OwnedMutexGuard<()>>,
}

impl Hold {
    /// Waits until this many more bytes may be held. Dropping the future reserves nothing.
    pub async fn grow(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let from_share = match &self.share {
            // The source's other requests may hold the whole share and wait for the total until this one completes.
            Some((share, taken)) if self.total.overdraft.is_none() => {
                taken.acquire(&share.permits, &share.overdraft, units).await
            }
            _ => HeldPermits::default(),
        };
        let from_total = self.total.acquire(&self.budget.permits, &self.budget.overdraft, units).await;
        self.total.merge(from_total);
        if let Some((_, taken)) = &mut self.share {
            taken.merge(from_share);
        }
    }
}

impl HeldPermits {
    /// Waits for permits, or for the right to exceed the limit.
    async fn acquire(&self, room: &Arc<Semaphore>, overdraft: &Arc<Mutex<()>>, units: u32) -> Self {
        if self.overdraft.is_some() {
            return Self::default();
        }
        tokio::select! {
            biased;
            permit = room.clone().acquire_many_owned(units) => {
                Self { permit: Some(permit.expect("the semaphore is never closed")), overdraft: None }
            }
            over = overdraft.clone().lock_owned() => Self { permit: None, overdraft: Some(over) },
        }
    }

    fn merge(&mut self, more: Self) {
        match (&mut self.permit, more.permit) {
            (Some(held), Some(permit)) => held.merge(permit),
            (none @ None, permit) => *none = permit,
            (Some(_), None) => {}
        }
        self.overdraft = self.overdraft.take().or(more.overdraft);
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
    fn dropping_a_hold_releases_its_bytes() {
        let budget = ByteBudget::new(10 * UNIT);
        let mut hold = budget.hold();
        assert!(poll(hold.grow(1)).is_ready());
        assert!(poll(hold.grow(3 * UNIT)).is_ready());
        assert_eq!(budget.in_use(), 4 * UNIT);
        drop(hold);
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn one_request_may_exceed_the_total_and_the_rest_wait() {
        let budget = ByteBudget::new(4 * UNIT);
        let [mut first, mut second, mut third] = [budget.hold(), budget.hold(), budget.hold()];
        assert!(poll(first.grow(4 * UNIT)).is_ready());
        assert!(poll(second.grow(UNIT)).is_ready(), "over the total, as the one request that may exceed it");
        assert!(poll(second.grow(64 * UNIT)).is_ready(), "until it is complete");
        assert!(poll(third.grow(UNIT)).is_pending());
        assert!(poll(first.grow(UNIT)).is_pending());
        drop(second);
        assert!(poll(third.grow(UNIT)).is_ready());
        assert_eq!(budget.in_use(), 4 * UNIT);
    }

    #[test]
    fn a_cancelled_wait_takes_nothing() {
        let budget = ByteBudget::new(2 * UNIT);
        let [mut first, mut over, mut late] = [budget.hold(), budget.hold(), budget.hold()];
        assert!(poll(first.grow(2 * UNIT)).is_ready());
        assert!(poll(over.grow(UNIT)).is_ready());
        assert!(poll(late.grow(UNIT)).is_pending());
        drop((first, over));
        assert_eq!(budget.in_use(), 0);
        assert!(poll(late.grow(2 * UNIT)).is_ready());
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn share_obeyed() {
        let budget = ByteBudget::new(16 * UNIT);
        let [mut one, mut other] = ["192.0.2.1", "2001:db8::1"].map(|source| budget.hold_for(address(source)));
        assert!(poll(one.grow(4 * UNIT)).is_ready() && poll(other.grow(4 * UNIT)).is_ready());
        assert_eq!(budget.in_use(), 8 * UNIT);
        drop((one, other));
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn share_violated() {
        let budget = ByteBudget::new(16 * UNIT);
        let hold_for = |source| budget.hold_for(address(source));
        let mut halves: Vec<Hold> = (0..9).map(|_| hold_for("192.0.2.1")).collect();
        let got = halves.iter_mut().map(|half| poll(half.grow(UNIT)).is_ready()).filter(|ready| *ready).count();
        assert_eq!(got, 5, "four units, and the one request that may exceed the share");
        assert_eq!(budget.in_use(), 5 * UNIT);
        let mut ordinary = hold_for("192.0.2.2");
        assert!(poll(ordinary.grow(4 * UNIT)).is_ready(), "other sources do not wait for them");
        let mut other_network = hold_for("2001:db8::1");
        let mut same = hold_for("2001:db8::2");
        assert!(poll(other_network.grow(4 * UNIT)).is_ready() && poll(same.grow(UNIT)).is_ready());
        assert!(poll(hold_for("2001:db8::3").grow(UNIT)).is_pending(), "one /64 network is one source");
        drop(halves);
        assert!(poll(hold_for("192.0.2.1").grow(4 * UNIT)).is_ready());
    }

    #[test]
    fn the_request_over_the_total_does_not_wait_for_its_share() {
        let budget = ByteBudget::new(16 * UNIT);
        let hold_for = |source| budget.hold_for(address(source));
        let mut full: Vec<Hold> = Vec::new();
        for source in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            full.extend((0..5).map(|_| hold_for(source)));
        }
        full.push(hold_for("192.0.2.4"));
        assert!(full.iter_mut().all(|hold| poll(hold.grow(UNIT)).is_ready()), "all sixteen");
        let [mut over, mut waits, mut waits_too] = [0; 3].map(|_| hold_for("192.0.2.4"));
        assert!(poll(over.grow(UNIT)).is_ready(), "over the total");
        let (mut second, mut third) = (pin!(waits.grow(2 * UNIT)), pin!(waits_too.grow(UNIT)));
        let mut context = Context::from_waker(Waker::noop());
        // Each holds the rest of the share or the right to exceed it, and waits for the total.
        assert!(second.as_mut().poll(&mut context).is_pending() && third.as_mut().poll(&mut context).is_pending());
        assert!(poll(over.grow(UNIT)).is_ready(), "until it is complete");
        drop(over);
        assert!(second.as_mut().poll(&mut context).is_ready(), "the next request may now exceed the total");
    }

    #[test]
    fn unused_shares_are_removed() {
        let budget = ByteBudget::new(16 * UNIT);
        for n in 0..10_000 {
            drop(budget.hold_for(std::net::Ipv4Addr::from_bits(n).into()));
        }
        assert!(budget.shares.len() <= 1_024, "{}", budget.shares.len());
    }
}
