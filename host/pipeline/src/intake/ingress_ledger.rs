//! The ledger of all pushes received: `received = refused + empty + unwanted + accepted`, exact at any moment.
//!
//! A push is counted as received together with its result; while it is being processed it is in no term.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::Receipt;
use crate::admission::Refusal;

/// All pushes so far, each in exactly one term. GetTelemetrySubscriptions requests are not pushes and not included.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct IngressLedger {
    /// The sum of all terms.
    pub received: u64,
    /// Answered with an error, by [`Refusal::code`].
    pub refused: BTreeMap<&'static str, u64>,
    /// Without metrics.
    pub empty: u64,
    /// Wanted by no slot.
    pub unwanted: u64,
    /// In the queues of the slots that want it, or counted there as shed.
    pub accepted: u64,
}

impl IngressLedger {
    /// Whether each push is in exactly one term.
    pub fn is_balanced(&self) -> bool {
        self.received == self.refused.values().sum::<u64>() + self.empty + self.unwanted + self.accepted
    }
}

/// The counters of the ledger.
#[derive(Debug, Default)]
pub(super) struct IngressAccounting(Mutex<IngressLedger>);

impl IngressAccounting {
    pub(super) fn record(&self, result: &Result<Receipt, Refusal>) {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.received += 1;
        *match result {
            Ok(Receipt::Empty) => &mut ledger.empty,
            Ok(Receipt::Unwanted) => &mut ledger.unwanted,
            Ok(Receipt::Accepted(_)) => &mut ledger.accepted,
            Err(refusal) => ledger.refused.entry(refusal.code()).or_default(),
        } += 1;
    }

    pub(super) fn snapshot(&self) -> IngressLedger {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
