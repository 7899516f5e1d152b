//! What a client shall push: the subscriptions that match it, joined.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::rule::{DEFAULT_INTERVAL, MAX_INTERVAL};
use super::{Config, id};
use crate::push::{Client, InstanceId};

/// Longer intervals have no effect in Apache's broker.
const CUSTOMARY_MAX: Duration = Duration::from_secs(300);
/// librdkafka reckons in 32-bit microseconds, jitter included.
const LIBRDKAFKA_MAX: Duration = Duration::from_secs(1_700);
/// Combinations of rules remembered. Clients choose what they match, so there must be an end.
const REMEMBERED: usize = 1_024;

/// One union of subscriptions, shared by all clients that match the same ones.
#[derive(Debug)]
pub(super) struct Answer {
    /// As told to the client.
    pub(super) metrics: Arc<[Arc<str>]>,
    /// Names of the subscriptions that match, sorted.
    pub(super) names: Vec<Arc<str>>,
    /// The set as text, for the subscription id.
    pub(super) text: String,
    /// The least interval; `None` where nothing matched.
    interval: Option<Duration>,
}

/// The configuration, and the answers it led to so far.
pub(super) struct Answers {
    config: Config,
    /// Goes into every subscription id.
    pub(super) extension: String,
    by_rules: HashMap<Vec<usize>, Arc<Answer>>,
}

impl Answers {
    pub(super) fn new(config: Config) -> Self {
        Self { extension: id::extension(&config), by_rules: HashMap::new(), config }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The union of what matches, and the interval for this client.
    pub(super) fn answer(&mut self, client: &Client) -> (Arc<Answer>, Duration) {
        let rules = self.config.subscriptions.iter().enumerate();
        let matching: Vec<usize> = rules.filter(|(_, rule)| rule.matches(client)).map(|(index, _)| index).collect();
        let answer = match self.by_rules.get(&matching) {
            Some(answer) => answer.clone(),
            None => self.join(matching),
        };
        let interval = answer.interval.map_or(DEFAULT_INTERVAL, |interval| interval.min(self.ceiling(client)));
        (answer, interval)
    }

    /// What this client would be told as its subscription id; it has an instance id.
    pub(super) fn subscription_id(&mut self, client: &Client) -> i32 {
        let (answer, interval) = self.answer(client);
        id::of_answer(&answer.text, interval, &self.extension, client.instance_id.unwrap_or(InstanceId::NIL))
    }

    fn join(&mut self, matching: Vec<usize>) -> Arc<Answer> {
        let rules = || matching.iter().filter_map(|index| self.config.subscriptions.get(*index));
        let mut set: BTreeSet<&str> = rules().flat_map(|rule| &rule.metrics).map(String::as_str).collect();
        // An empty prefix is a prefix of everything.
        if set.contains("*") || set.contains("") {
            set = BTreeSet::from(["*"]);
        }
        let sorted: Vec<&str> = set.into_iter().collect();
        let text = id::set_text(&sorted);
        let told = |metric| if metric == "*" && self.config.all_as_empty_prefix { "" } else { metric };
        let metrics = sorted.into_iter().map(|metric| Arc::from(told(metric))).collect();
        let mut names: Vec<Arc<str>> = rules().map(|rule| Arc::from(rule.name())).collect();
        names.sort_unstable();
        let answer = Arc::new(Answer { metrics, names, text, interval: rules().map(|rule| rule.interval).min() });
        if self.by_rules.len() >= REMEMBERED {
            self.by_rules.clear();
        }
        self.by_rules.insert(matching, answer.clone());
        answer
    }

    fn ceiling(&self, client: &Client) -> Duration {
        if !self.config.long_intervals {
            CUSTOMARY_MAX
        } else if is_librdkafka(client) {
            LIBRDKAFKA_MAX
        } else {
            MAX_INTERVAL
        }
    }
}

/// Bindings name themselves and put librdkafka into their version (`2.16.1-rdkafka-2.16.0`).
fn is_librdkafka(client: &Client) -> bool {
    [&client.software_name, &client.software_version].into_iter().flatten().any(|text| text.contains("rdkafka"))
}
