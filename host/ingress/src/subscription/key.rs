//! The three keys of a subscription, and what may stand in them as text.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AlterError;

/// Most bytes of one entry's text.
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

/// What is said about one subscription, by the file or over the wire. Values are kept as the elements of a list, so that
/// a pattern of the file may hold a comma; `interval.ms` has one element. A key that is not there is not said.
pub type Entries = BTreeMap<SubscriptionKey, Vec<String>>;

impl SubscriptionKey {
    /// In the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Metrics, Self::Interval, Self::Match];

    /// Kafka's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Interval => "interval.ms",
            Self::Match => "match",
        }
    }

    /// The key of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == name)
    }

    /// Whether its value is a list (`metrics`, `match`) or one number.
    pub fn is_list(self) -> bool {
        self != Self::Interval
    }

    /// What counts where nobody says anything, as text.
    pub fn default_text(self) -> &'static str {
        if self == Self::Interval { "300000" } else { "" }
    }

    /// One sentence for whoever describes the resource.
    pub fn documentation(self) -> &'static str {
        match self {
            Self::Metrics => {
                "Prefixes of the names of the metrics that clients are asked for, separated by commas; `*` is all, and \
                 an empty list asks for none."
            }
            Self::Interval => {
                "How often clients push, in milliseconds from 100 to 3600000; of all subscriptions that match a client \
                 the least counts, and one above 300000 counts as 300000 unless the host has `long-intervals`."
            }
            Self::Match => {
                "Which clients are asked: `key=pattern`, separated by commas, each pattern a regular expression that \
                 matches in full, and all must; an empty list matches every client."
            }
        }
    }

    /// The elements of a text that came over the wire, blanks around them cut off.
    pub(super) fn elements(self, text: &str) -> Result<Vec<String>, AlterError> {
        let refuse = |why: &str| Err(AlterError::Config(format!("`{}` {why}", self.as_str())));
        if text.len() > ENTRY_BYTES {
            return refuse(&format!("has {} bytes; it may have {ENTRY_BYTES}", text.len()));
        }
        if text.chars().any(char::is_control) {
            return refuse("holds a control character; take it out");
        }
        if !self.is_list() {
            return Ok(vec![text.trim().to_owned()]);
        }
        if text.trim().is_empty() {
            return Ok(Vec::new());
        }
        let elements: Vec<String> = text.split(',').map(|element| element.trim().to_owned()).collect();
        // As a prefix it would mean every metric there is.
        if elements.iter().any(String::is_empty) {
            return refuse("has an empty element; take out the comma beside it");
        }
        Ok(elements)
    }
}

/// As Kafka writes a list.
pub(super) fn text(elements: &[String]) -> String {
    elements.join(",")
}
