//! What the room is told.

use std::time::Duration;

use super::{ClientRule, Quotas, SubscriptionRule};

/// Settings of admission.
#[derive(Clone, Debug)]
pub struct AdmissionConfig {
    /// All that match a client are joined.
    pub subscriptions: Vec<SubscriptionRule>,
    /// What holds for clients by their software; the first that matches counts, before what is built in.
    pub clients: Vec<ClientRule>,
    /// How much one connection and one source may bring.
    pub quotas: Quotas,
    /// After how long a client that no subscription matches asks again.
    pub idle_poll: Duration,
    /// Ask clients for changes since the push before instead of running totals.
    pub delta: bool,
    /// Most bytes of a push on the wire.
    pub max_wire_bytes: u32,
    /// Most client instances known; beyond it one of the source that holds most is forgotten, or else the one that was
    /// silent longest.
    pub capacity: usize,
    /// Let intervals above five minutes take effect (Apache's broker never does).
    pub long_intervals: bool,
    /// Say "all metrics" as an empty prefix, which every client understands, instead of `*`, which franz-go and Dekaf
    /// take for a prefix.
    pub all_as_empty_prefix: bool,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            subscriptions: Vec::new(),
            clients: Vec::new(),
            quotas: Quotas::default(),
            idle_poll: Duration::from_secs(60),
            delta: false,
            max_wire_bytes: 1 << 20,
            capacity: 16_384,
            long_intervals: false,
            all_as_empty_prefix: false,
        }
    }
}
