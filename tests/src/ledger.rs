//! The ledger of a slot, reduced to push counts for tests.

use std::fmt;

use barnabas_pipeline::dispatch::Ledger;

/// A ledger that was balanced when it was read.
#[derive(Clone, Debug)]
pub struct LedgerView(Ledger);

impl LedgerView {
    /// Panics if the ledger is not balanced.
    pub fn new(ledger: Ledger) -> Self {
        assert!(ledger.is_balanced(), "the ledger does not balance: {ledger}");
        Self(ledger)
    }

    /// Pushes accepted.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.pushes
    }

    /// Pushes settled by the receiver.
    pub fn delivered(&self) -> u64 {
        self.0.delivered.pushes
    }

    /// Pushes queued or in flight.
    pub fn held(&self) -> u64 {
        self.0.held().pushes
    }

    /// Pushes delivered more than once.
    pub fn redelivered(&self) -> u64 {
        self.0.redelivered.pushes
    }

    /// Pushes dropped with this cause.
    pub fn dropped(&self, cause: &str) -> u64 {
        self.0.dropped.get(cause).map_or(0, |tally| tally.pushes)
    }

    /// Pushes dropped.
    pub fn dropped_total(&self) -> u64 {
        self.0.dropped.values().map(|tally| tally.pushes).sum()
    }

    /// Pushes shed with this cause.
    pub fn shed(&self, cause: &str) -> u64 {
        self.0.shed.get(cause).map_or(0, |tally| tally.pushes)
    }

    /// Pushes shed.
    pub fn shed_total(&self) -> u64 {
        self.0.shed.values().map(|tally| tally.pushes).sum()
    }
}

impl fmt::Display for LedgerView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
