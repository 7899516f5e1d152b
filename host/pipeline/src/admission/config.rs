//! The configuration of admission.

use std::time::Duration;

use super::{ClientRule, Quotas, SubscriptionRule};

/// Settings of admission.
#[derive(Clone, Debug)]
pub struct AdmissionConfig {
    /// Those that match a client are merged.
    pub subscriptions: Vec<SubscriptionRule>,
    /// Rules for clients by their software; the first that matches applies, before the built-in ones.
    pub clients: Vec<ClientRule>,
    /// How much one connection and one source may send.
    pub quotas: Quotas,
    /// After how long a client that no subscription matches asks again.
    pub idle_poll: Duration,
    /// Request delta temporality from clients instead of cumulative.
    pub delta: bool,
    /// The most bytes of a push on the wire.
    pub max_wire_bytes: u32,
    /// The most known client instances. Beyond it one is evicted: of the source with the most instances, or else the
    /// one without a request for longest.
    pub capacity: usize,
    /// Allows intervals above five minutes to take effect (Apache Kafka's broker never does).
    pub long_intervals: bool,
    /// Spells "all metrics" as an empty prefix, which every client understands, instead of `*`, which franz-go and
    /// Dekaf treat as a prefix.
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
