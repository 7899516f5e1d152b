//! What a client shall push: the subscriptions that match it, joined.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rule::MAX_INTERVAL;
use super::software::{self, Wildcard};
use super::{Config, id};
use crate::push::{Client, InstanceId};

/// Longer intervals have no effect in Apache's broker.
const CUSTOMARY_MAX: Duration = Duration::from_secs(300);
/// librdkafka reckons in 32-bit microseconds, jitter included.
const LIBRDKAFKA_MAX: Duration = Duration::from_secs(1_700);
/// Combinations of rules remembered. Clients choose what they match, so there must be an end.
const REMEMBERED: usize = 1_024;

/// One answer, shared by all clients that match the same subscriptions and are told them in the same way.
#[derive(Debug)]
pub(super) struct Answer {
    /// Of the configuration that it comes from.
    pub(super) version: u64,
    /// As told to the client.
    pub(super) metrics: Arc<[Arc<str>]>,
    /// Names of the subscriptions that match, sorted.
    pub(super) names: Vec<Arc<str>>,
    pub(super) interval: Duration,
    /// Of everything that is told.
    checksum: u32,
}

impl Answer {
    pub(super) fn subscription_id(&self, instance: InstanceId) -> i32 {
        id::subscription_id(self.checksum, instance)
    }

    /// Whether a client would notice no difference.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        (self.checksum, self.interval) == (other.checksum, other.interval) && self.metrics == other.metrics
    }
}

/// Which answer: the rules that match, the longest interval the client takes, how it is told "all metrics".
type Key = (Vec<usize>, Duration, bool);

/// One configuration, and the answers it led to so far. Patterns are tried through `&self`, without the room's lock.
pub(super) struct Answers {
    config: Config,
    /// Counts configurations.
    version: u64,
    known: Mutex<HashMap<Key, Arc<Answer>>>,
}

impl Answers {
    pub(super) fn new(config: Config, version: u64) -> Self {
        Self { config, version, known: Mutex::default() }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The union of what matches this client. Tries every pattern: a thousand, it may be, on a kilobyte each.
    pub(super) fn answer(&self, client: &Client) -> Arc<Answer> {
        #[cfg(test)]
        hook::call();
        let rules = self.config.subscriptions.iter().enumerate();
        let matching: Vec<usize> = rules.filter(|(_, rule)| rule.matches(client)).map(|(index, _)| index).collect();
        let key = (matching, self.ceiling(client), self.empty_prefix(client));
        if let Some(answer) = self.lock().get(&key) {
            return answer.clone();
        }
        let answer = Arc::new(self.join(&key));
        let mut known = self.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, answer.clone());
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Answer>>> {
        // Nothing here is left half done by a panic that could be caught.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&self, (matching, ceiling, empty_prefix): &Key) -> Answer {
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
        // Where not all is asked for, it makes no difference how that would be told.
        let spelling = if all { *empty_prefix } else { self.config.all_as_empty_prefix };
        let text = id::text(&sorted, interval, &id::extension(&self.config, spelling));
        let told = |metric| if metric == "*" && *empty_prefix { "" } else { metric };
        let mut names: Vec<Arc<str>> = rules().map(|rule| Arc::from(rule.name())).collect();
        names.sort_unstable();
        Answer {
            version: self.version,
            metrics: sorted.into_iter().map(|metric| Arc::from(told(metric))).collect(),
            names,
            interval,
            checksum: crc32c::crc32c(text.as_bytes()),
        }
    }

    fn empty_prefix(&self, client: &Client) -> bool {
        let ruled = software::wildcard(&self.config.clients, client);
        ruled.map_or(self.config.all_as_empty_prefix, |wildcard| wildcard == Wildcard::Empty)
    }

    fn ceiling(&self, client: &Client) -> Duration {
        if !self.config.long_intervals {
            CUSTOMARY_MAX
        } else if software::is_librdkafka(client) {
            LIBRDKAFKA_MAX
        } else {
            MAX_INTERVAL
        }
    }
}

/// What a test does whenever patterns are about to be tried on its thread.
#[cfg(test)]
pub(super) mod hook {
    use std::cell::RefCell;

    thread_local! {
        static HOOK: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
    }

    pub(in crate::admission) fn set(hook: impl FnMut() + 'static) {
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
