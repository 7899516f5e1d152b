//! One source's part of the budget.
//!
//! In: the address of a peer. Out: the share that all its connections have in common. Bounded: a share is kept while
//! somebody holds it, and those that nobody holds are swept out before their number doubles.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// Shares looked through at least this seldom.
const FEW: usize = 1_024;

/// The same two as the whole budget has: room, and one request that may go over it.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) room: Arc<Semaphore>,
    pub(super) overdraft: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
pub(super) struct Shares {
    units: usize,
    by_source: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    shares: HashMap<IpAddr, Weak<Share>>,
    sweep_at: usize,
}

impl Shares {
    /// So many units for each source.
    pub(super) fn of(units: usize) -> Self {
        Self { units, by_source: Mutex::default() }
    }

    pub(super) fn get(&self, source: IpAddr) -> Arc<Share> {
        let mut known = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let source = network(source);
        if let Some(share) = known.shares.get(&source).and_then(Weak::upgrade) {
            return share;
        }
        if known.shares.len() >= known.sweep_at {
            known.shares.retain(|_, share| share.strong_count() > 0);
            known.sweep_at = FEW.max(2 * known.shares.len());
        }
        let share = Arc::new(Share { room: Arc::new(Semaphore::new(self.units)), overdraft: Arc::default() });
        known.shares.insert(source, Arc::downgrade(&share));
        share
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_source.lock().unwrap_or_else(PoisonError::into_inner).shares.len()
    }
}

/// IPv6: the first 64 bits, which one customer has all of.
pub(in crate::listener) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}
