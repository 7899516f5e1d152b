//! The part of the budget that one source may use.
//!
//! In: the address of a peer. Out: the share that all connections of that source use. Bounded: a share exists as long
//! as a request holds it, and unused shares are removed before their number doubles.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

/// Below this number of shares unused ones are not removed.
const MIN_SWEEP_LEN: usize = 1_024;

/// The permits of one source, and the right to exceed them, as for the whole budget.
#[derive(Debug)]
pub(super) struct SourceShare {
    pub(super) permits: Arc<Semaphore>,
    pub(super) overdraft: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
pub(super) struct SourceShares {
    units: usize,
    by_source: Mutex<ShareMap>,
}

#[derive(Debug, Default)]
struct ShareMap {
    shares: HashMap<IpAddr, Weak<SourceShare>>,
    sweep_at: usize,
}

impl SourceShares {
    /// A share of this many units for each source.
    pub(super) fn new(units: usize) -> Self {
        Self { units, by_source: Mutex::default() }
    }

    pub(super) fn get(&self, source: IpAddr) -> Arc<SourceShare> {
        let mut known = self.by_source.lock().unwrap_or_else(PoisonError::into_inner);
        let source = network(source);
        if let Some(share) = known.shares.get(&source).and_then(Weak::upgrade) {
            return share;
        }
        if known.shares.len() >= known.sweep_at {
            known.shares.retain(|_, share| share.strong_count() > 0);
            known.sweep_at = MIN_SWEEP_LEN.max(2 * known.shares.len());
        }
        let share = Arc::new(SourceShare { permits: Arc::new(Semaphore::new(self.units)), overdraft: Arc::default() });
        known.shares.insert(source, Arc::downgrade(&share));
        share
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_source.lock().unwrap_or_else(PoisonError::into_inner).shares.len()
    }
}

/// For IPv6 the first 64 bits, since one customer has all addresses of such a network.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}
