//! A slot's ledger, as tests ask for it: in pushes.

use std::fmt;

use barnabas::dispatch::Ledger;

/// A ledger that balanced when it was read.
#[derive(Clone, Debug)]
pub struct LedgerView(Ledger);

impl LedgerView {
    /// Refuses one that does not balance.
    pub fn new(ledger: Ledger) -> Self {
        assert!(ledger.is_balanced(), "each push is in exactly one term: {ledger}");
        Self(ledger)
    }

    /// All that came.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.pushes
    }

    /// Taken by the receiver.
    pub fn delivered(&self) -> u64 {
        self.0.delivered.pushes
    }

    /// Waiting or out in a batch.
    pub fn held(&self) -> u64 {
        self.0.held().pushes
    }

    /// Offered more than once.
    pub fn redelivered(&self) -> u64 {
        self.0.redelivered.pushes
    }

    /// Given up for this cause.
    pub fn dropped(&self, cause: &str) -> u64 {
        self.0.dropped.get(cause).map_or(0, |tally| tally.pushes)
    }

    /// Given up.
    pub fn dropped_total(&self) -> u64 {
        self.0.dropped.values().map(|tally| tally.pushes).sum()
    }

    /// Let go for this cause.
    pub fn shed(&self, cause: &str) -> u64 {
        self.0.shed.get(cause).map_or(0, |tally| tally.pushes)
    }

    /// Let go.
    pub fn shed_total(&self) -> u64 {
        self.0.shed.values().map(|tally| tally.pushes).sum()
    }
}

impl fmt::Display for LedgerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
