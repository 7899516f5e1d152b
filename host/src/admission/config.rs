//! What the room is told.

use super::SubscriptionRule;

/// Settings of admission.
#[derive(Clone, Debug)]
pub struct Config {
    /// All that match a client are joined.
    pub subscriptions: Vec<SubscriptionRule>,
    /// Ask clients for changes since the push before instead of running totals.
    pub delta: bool,
    /// Most bytes of a push on the wire.
    pub max_wire: u32,
    /// Most client instances known; beyond it the one that was silent longest is forgotten.
    pub capacity: usize,
    /// Let intervals above five minutes take effect (Apache's broker never does).
    pub long_intervals: bool,
    /// Say "all metrics" as an empty prefix, which every client understands, instead of `*`, which franz-go and Dekaf
    /// take for a prefix.
    pub all_as_empty_prefix: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            subscriptions: Vec::new(),
            delta: false,
            max_wire: 1 << 20,
            capacity: 16_384,
            long_intervals: false,
            all_as_empty_prefix: false,
        }
    }
}
