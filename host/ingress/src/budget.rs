//! How many bytes of unanswered requests the host holds, over all connections and doors.
//!
//! In: a connection that is about to allocate. Out: a [`Hold`], which gives the bytes back when it is dropped.
//! Memory is taken as bytes arrive, so a peer that announces much and sends little holds little. That alone could
//! end with everybody holding a part and waiting for the rest; therefore one request at a time may go over the total,
//! to its end, and what it held is then free for the others: the budget cannot seize up. The same holds once more within
//! the share of each source, a quarter of the total: who sends many halves of requests waits for itself, and three more
//! sources must do the like before anybody else waits. Nothing here refuses or closes; who waits is slowed down.
//!
//! Nobody waits in a circle. Who may go over the total waits for nothing, not even for its source's share, so it comes to
//! its end; whoever waits for the total is the next that may. Who waits for a share waits for others of its source, of
//! which one may go over the share: that one waits at most for the total. Nobody has two holds.

mod share;

use std::net::IpAddr;
use std::sync::Arc;

pub(super) use share::network;
use share::{SourceShare, SourceShares};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

const UNIT: usize = 1024;
/// No source has more than one in so many of the units.
const SHARES: usize = 4;

/// The shared budget. Counted in KiB, rounded up.
#[derive(Debug)]
pub struct ByteBudget {
    total: usize,
    permits: Arc<Semaphore>,
    overdraft: Arc<Mutex<()>>,
    shares: SourceShares,
}

impl ByteBudget {
    /// What a host holds at most when nothing else is configured.
    pub const DEFAULT_BYTES: usize = 256 << 20;

    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        let total = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        let (room, shares) = (Arc::new(Semaphore::new(total)), SourceShares::new(total.div_ceil(SHARES)));
        Arc::new(Self { total, permits: room, overdraft: Arc::default(), shares })
    }

    /// Bytes that are held now, less what the one request over the total holds.
    pub fn in_use(&self) -> usize {
        self.total.saturating_sub(self.permits.available_permits()).saturating_mul(UNIT)
    }

    /// An empty hold, to grow as bytes arrive.
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold { budget: self.clone(), total: HeldPermits::default(), share: None }
    }

    /// Likewise, within the share of this peer's address (IPv6: of its first 64 bits).
    pub fn hold_for(self: &Arc<Self>, source: IpAddr) -> Hold {
        Hold { share: Some((self.shares.get(source), HeldPermits::default())), ..self.hold() }
    }
}

/// One request's part of the budget.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<ByteBudget>,
    total: HeldPermits,
    /// Its source's.
    share: Option<(Arc<SourceShare>, HeldPermits)>,
}

/// What a request has of one room.
#[derive(Debug, Default)]
struct HeldPermits {
    permit: Option<OwnedSemaphorePermit>,
    /// This request is the one that may go over.
    overdraft: Option<OwnedMutexGuard<()>>,
}

impl Hold {
    /// Waits until so many more bytes may be held. Dropping the future takes nothing.
    pub async fn grow(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let from_share = match &self.share {
            // A neighbour may have all of the share, and wait for the total until this one ends.
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
    /// Waits for room, or for being the one that may go over.
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
    fn what_is_held_comes_back() {
        let budget = ByteBudget::new(10 * UNIT);
        let mut hold = budget.hold();
        assert!(poll(hold.grow(1)).is_ready());
        assert!(poll(hold.grow(3 * UNIT)).is_ready());
        assert_eq!(budget.in_use(), 4 * UNIT);
        drop(hold);
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn one_request_may_go_over_and_the_rest_wait() {
        let budget = ByteBudget::new(4 * UNIT);
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
        assert_eq!(got, 5, "four units, and the one that may go over");
        assert_eq!(budget.in_use(), 5 * UNIT);
        let mut ordinary = hold_for("192.0.2.2");
        assert!(poll(ordinary.grow(4 * UNIT)).is_ready(), "nobody else waits for them");
        let mut other_network = hold_for("2001:db8::1");
        let mut same = hold_for("2001:db8::2");
        assert!(poll(other_network.grow(4 * UNIT)).is_ready() && poll(same.grow(UNIT)).is_ready());
        assert!(poll(hold_for("2001:db8::3").grow(UNIT)).is_pending(), "one network is one source");
        drop(halves);
        assert!(poll(hold_for("192.0.2.1").grow(4 * UNIT)).is_ready());
    }

    #[test]
    fn who_may_go_over_the_total_waits_for_no_share() {
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
        // They have the rest of the share and what may go over it, and wait for the total.
        assert!(second.as_mut().poll(&mut context).is_pending() && third.as_mut().poll(&mut context).is_pending());
        assert!(poll(over.grow(UNIT)).is_ready(), "to its end");
        drop(over);
        assert!(second.as_mut().poll(&mut context).is_ready(), "which makes the next the one that may");
    }

    #[test]
    fn shares_that_nobody_holds_are_swept_out() {
        let budget = ByteBudget::new(16 * UNIT);
        for n in 0..10_000 {
            drop(budget.hold_for(std::net::Ipv4Addr::from_bits(n).into()));
        }
        assert!(budget.shares.len() <= 1_024, "{}", budget.shares.len());
    }
}
