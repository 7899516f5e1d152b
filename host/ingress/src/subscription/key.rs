//! The three keys of a subscription, and their values as text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AlterError;

/// The most bytes of one entry's text.
pub(super) const ENTRY_BYTES: usize = 64 << 10;

/// A key of the configuration of a CLIENT_METRICS resource (KIP-714, "Client metrics configuration").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
pub enum SubscriptionKey {
    /// `metrics`, a list of prefixes.
    #[serde(rename = "metrics")]
    Metrics,
    /// `interval.ms`, a number.
    #[serde(rename = "interval.ms")]
    Interval,
    /// `match`, a list of `key=pattern`.
    #[serde(rename = "match")]
    Match,
}

/// The entries of one subscription, from the file or from alterations. Values are stored as the elements of a list, so
/// that a pattern of the file may contain a comma; `interval.ms` has one element. A missing key has no value.
pub type Entries = BTreeMap<SubscriptionKey, Vec<String>>;

impl SubscriptionKey {
    /// In the order in which they are described.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Interval, Self::Match];

    /// Its name in Kafka.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Interval => "interval.ms",
            Self::Match => "match",
        }
    }

    /// The key with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == name)
    }

    /// Whether its value is a list (`metrics`, `match`) or one number.
    pub fn is_list(self) -> bool {
        self != Self::Interval
    }

    /// The default, as text.
    pub fn default_text(self) -> &'static str {
        if self == Self::Interval { "300000" } else { "" }
    }

    /// Its documentation in DescribeConfigs.
    pub fn documentation(self) -> &'static str {
        match self {
            Self::Metrics => {
                "Prefixes of the names of the metrics that clients push, separated by commas; `*` matches all, and \
                 an empty list none."
            }
            Self::Interval => {
                "How often clients push, in milliseconds from 100 to 3600000; the shortest interval of all subscriptions \
                 that match a client applies, and one above 300000 counts as 300000 unless `long-intervals` is set."
            }
            Self::Match => {
                "Which clients push: `key=pattern`, separated by commas; each pattern is a regular expression that must \
                 match the whole value, and all must match; an empty list matches every client."
            }
        }
    }

    /// The elements of a value in a request, without surrounding blanks.
    pub(super) fn elements(self, text: &str) -> Result<Vec<String>, AlterError> {
        let refuse = |why: &str| Err(AlterError::Config(format!("`{}` {why}", self.as_str())));
        if text.len() > ENTRY_BYTES {
            return refuse(&format!("has {} bytes; the maximum is {ENTRY_BYTES}", text.len()));
        }
        if text.chars().any(char::is_control) {
            return refuse("contains a control character; remove it");
        }
        if !self.is_list() {
            return Ok(vec![text.trim().to_owned()]);
        }
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let elements: Vec<String> = text.split(',').map(|element| element.trim().to_owned()).collect();
        // An empty prefix would match every metric.
        if elements.iter().any(String::is_empty) {
            return refuse("has an empty element; remove the comma beside it");
        }
        Ok(elements)
    }
}

/// In Kafka's list format.
pub(super) fn text(elements: &[String]) -> String {
    elements.join(",")
}
