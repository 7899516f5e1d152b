//! What a client is asked to push: the subscriptions that match it, merged.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rule::MAX_INTERVAL;
use super::software::{self, Wildcard};
use super::{AdmissionConfig, id};
use crate::push::Client;
use barnabas_base::InstanceId;

/// Longer intervals have no effect in Apache Kafka's broker.
const DEFAULT_MAX_INTERVAL: Duration = Duration::from_secs(300);
/// librdkafka computes in 32-bit microseconds, jitter included.
const LIBRDKAFKA_MAX_INTERVAL: Duration = Duration::from_secs(1_700);
/// The most combinations of rules that are cached. Clients choose what they match, so there must be a limit.
const MAX_CACHED: usize = 1_024;

/// One assignment, shared by all clients that match the same subscriptions and are sent them in the same spelling.
#[derive(Debug)]
pub(super) struct Assignment {
    /// The version of the configuration that it was made from.
    pub(super) version: u64,
    /// As sent to the client.
    pub(super) metrics: Arc<[Arc<str>]>,
    /// Names of the subscriptions that match, sorted.
    pub(super) names: Vec<Arc<str>>,
    pub(super) interval: Duration,
    /// Of everything that is sent to the client.
    checksum: u32,
}

impl Assignment {
    pub(super) fn subscription_id(&self, instance: InstanceId) -> i32 {
        id::subscription_id(self.checksum, instance)
    }

    /// Whether a client would notice no difference.
    pub(super) fn is_same_for_client(&self, other: &Self) -> bool {
        (self.checksum, self.interval) == (other.checksum, other.interval) && self.metrics == other.metrics
    }
}

/// The matching rules, the longest interval that the client supports, and how "all metrics" is spelled for it.
type AssignmentKey = (Vec<usize>, Duration, bool);

/// One configuration, and the assignments made from it so far. Patterns are matched through `&self`, without the lock
/// of admission.
pub(super) struct Assignments {
    config: AdmissionConfig,
    /// Counts configurations.
    version: u64,
    cache: Mutex<HashMap<AssignmentKey, Arc<Assignment>>>,
}

impl Assignments {
    pub(super) fn new(config: AdmissionConfig, version: u64) -> Self {
        Self { config, version, cache: Mutex::default() }
    }

    pub(super) fn config(&self) -> &AdmissionConfig {
        &self.config
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The union of the matching subscriptions. This matches every pattern, possibly a thousand of a kilobyte each.
    pub(super) fn assign(&self, client: &Client) -> Arc<Assignment> {
        #[cfg(test)]
        hook::call();
        let rules = self.config.subscriptions.iter().enumerate();
        let matching: Vec<usize> = rules.filter(|(_, rule)| rule.matches(client)).map(|(index, _)| index).collect();
        let key = (matching, self.max_interval(client), self.uses_empty_prefix(client));
        if let Some(assignment) = self.lock().get(&key) {
            return assignment.clone();
        }
        let assignment = Arc::new(self.merge(&key));
        let mut cache = self.lock();
        if cache.len() >= MAX_CACHED {
            cache.clear();
        }
        cache.insert(key, assignment.clone());
        assignment
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AssignmentKey, Arc<Assignment>>> {
        // A panic leaves nothing half done here, so a poisoned lock is safe to use.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn merge(&self, (matching, ceiling, empty_prefix): &AssignmentKey) -> Assignment {
        let rules = || matching.iter().filter_map(|index| self.config.subscriptions.get(*index));
        let mut set: BTreeSet<&str> = rules().flat_map(|rule| &rule.metrics).map(String::as_str).collect();
        // An empty prefix is a prefix of everything.
        let all = set.contains("*") || set.contains("");
        if all {
            set = BTreeSet::from(["*"]);
        }
        let sorted: Vec<&str> = set.into_iter().collect();
        let interval = rules().map(|rule| rule.interval).min();
        let interval = interval.map_or(self.config.idle_poll, |interval| interval.min(*ceiling));
        // If not all metrics are requested, the spelling makes no difference.
        let spelling = if all { *empty_prefix } else { self.config.all_as_empty_prefix };
        let text = id::canonical_text(&sorted, interval, &id::extension_text(&self.config, spelling));
        let spelled = |metric| if metric == "*" && *empty_prefix { "" } else { metric };
        let mut names: Vec<Arc<str>> = rules().map(|rule| Arc::from(rule.name())).collect();
        names.sort_unstable();
        Assignment {
            version: self.version,
            metrics: sorted.into_iter().map(|metric| Arc::from(spelled(metric))).collect(),
            names,
            interval,
            checksum: crc32c::crc32c(text.as_bytes()),
        }
    }

    fn uses_empty_prefix(&self, client: &Client) -> bool {
        let ruled = software::wildcard(&self.config.clients, client);
        ruled.map_or(self.config.all_as_empty_prefix, |wildcard| wildcard == Wildcard::Empty)
    }

    fn max_interval(&self, client: &Client) -> Duration {
        if !self.config.long_intervals {
            DEFAULT_MAX_INTERVAL
        } else if software::is_librdkafka(client) {
            LIBRDKAFKA_MAX_INTERVAL
        } else {
            MAX_INTERVAL
        }
    }
}

/// A hook that a test runs whenever patterns are about to be matched on its thread.
#[cfg(test)]
pub(super) mod hook {
    use std::cell::RefCell;

    thread_local! {
        static HOOK: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    }

    pub(crate) fn set(hook: impl FnMut() + 'static) {
        HOOK.with(|slot| *slot.borrow_mut() = Some(Box::new(hook)));
    }

    pub(super) fn call() {
        let hook = HOOK.with(|slot| slot.borrow_mut().take());
        if let Some(mut hook) = hook {
            hook();
            HOOK.with(|slot| *slot.borrow_mut() = Some(hook));
        }
    }
}
