//! One subscription: its entries from the file and from alterations, and the rule that results.

use std::sync::Arc;

use super::key::text;
use super::{AlterError, DescribedEntry, DescribedSubscription, Entries, SubscriptionKey, ValueSource};
use barnabas_pipeline::admission::SubscriptionRule;

/// One subscription. Immutable: an alteration replaces it.
#[derive(Debug)]
pub(super) struct EffectiveSubscription {
    /// Empty if the file does not contain it.
    pub(super) file: Entries,
    /// Empty if nothing was altered.
    pub(super) stored: Entries,
    /// The store's document was written by a later release.
    pub(super) unreadable: bool,
    /// The store's document is damaged. The file's entries are effective, and an alteration replaces the document.
    pub(super) damaged: bool,
    /// The rule for admission; `None` if it is not valid in this release.
    pub(super) rule: Option<SubscriptionRule>,
    pub(super) described: Arc<DescribedSubscription>,
    /// Bytes of its name and its text.
    pub(super) text: usize,
    /// Bytes of its compiled patterns.
    pub(super) patterns: usize,
}

impl EffectiveSubscription {
    /// A subscription without entries.
    pub(super) fn empty() -> Self {
        Self {
            file: Entries::new(),
            stored: Entries::new(),
            unreadable: false,
            damaged: false,
            rule: None,
            described: Arc::new(DescribedSubscription::from_entries(&Arc::from(""), &Entries::new(), &Entries::new())),
            text: 0,
            patterns: 0,
        }
    }

    /// Merges the two. The error names what is invalid.
    pub(super) fn new(name: &Arc<str>, file: Entries, stored: Entries) -> Result<Self, AlterError> {
        let described = Arc::new(DescribedSubscription::from_entries(name, &file, &stored));
        let said = file.values().chain(stored.values()).flatten().map(String::len).sum::<usize>();
        let text = name.len() + said;
        let mut held = Self { file, stored, described, text, ..Self::empty() };
        let rule = held.make_rule(name)?;
        held.patterns = rule.compiled_bytes();
        held.rule = Some(rule);
        Ok(held)
    }

    /// A subscription that is kept and described, and has no effect.
    pub(super) fn disabled(name: &Arc<str>, file: Entries, stored: Entries, problem: String) -> Self {
        let described = DescribedSubscription {
            problem: Some(problem),
            ..DescribedSubscription::from_entries(name, &file, &stored)
        };
        Self { file, stored, described: Arc::new(described), text: name.len(), ..Self::empty() }
    }

    /// The file's entries, if any, for a subscription whose document in the store is damaged.
    pub(super) fn with_damaged_record(name: &Arc<str>, file: Entries, problem: String) -> Result<Self, AlterError> {
        let none = Entries::new();
        let described =
            DescribedSubscription { problem: Some(problem), ..DescribedSubscription::from_entries(name, &file, &none) };
        let held =
            if file.is_empty() { Self { text: name.len(), ..Self::empty() } } else { Self::new(name, file, none)? };
        Ok(Self { damaged: true, described: Arc::new(described), ..held })
    }

    /// The effective value of this key: empty for a list without a value.
    pub(super) fn effective(&self, key: SubscriptionKey) -> &[String] {
        self.stored.get(&key).or_else(|| self.file.get(&key)).map_or(&[], Vec::as_slice)
    }

    /// Whether it has any content.
    pub(super) fn exists(&self) -> bool {
        self.unreadable || self.damaged || !self.file.is_empty() || !self.stored.is_empty()
    }

    /// Whether a client cannot distinguish the two.
    pub(super) fn is_equivalent(&self, other: &Self) -> bool {
        let same = |key| self.effective(key) == other.effective(key);
        self.rule.is_some() == other.rule.is_some() && SubscriptionKey::ALL.into_iter().all(same)
    }

    fn make_rule(&self, name: &str) -> Result<SubscriptionRule, AlterError> {
        let interval = self.effective(SubscriptionKey::Interval).first().map(|text| interval(text)).transpose()?;
        // The interval is checked separately, because an invalid interval and an invalid pattern have different error
        // codes.
        SubscriptionRule::new(name, Vec::new(), interval, &[]).map_err(AlterError::Request)?;
        let matches = self.effective(SubscriptionKey::Match);
        if let Some(bad) = matches.iter().find(|pair| !pair.contains('=')) {
            let words = format!("`match` contains `{}`, which is not `key=pattern`", super::excerpt(bad));
            return Err(AlterError::Config(words));
        }
        let matches: Vec<_> = pairs(matches).map(|(key, pattern)| (key.to_owned(), pattern.to_owned())).collect();
        let metrics = self.effective(SubscriptionKey::Metrics).to_vec();
        SubscriptionRule::new(name, metrics, interval, &matches).map_err(AlterError::Config)
    }
}

impl DescribedSubscription {
    pub(super) fn from_entries(name: &Arc<str>, file: &Entries, stored: &Entries) -> Self {
        let entry = |key: SubscriptionKey| {
            let said = |source: ValueSource, by: &Entries| by.get(&key).map(|elements| (source, text(elements)));
            let synonyms = [said(ValueSource::Dynamic, stored), said(ValueSource::File, file)];
            let synonyms = synonyms.into_iter().flatten();
            let default = (ValueSource::Default, key.default_text().to_owned());
            DescribedEntry { key, synonyms: synonyms.chain([default]).collect() }
        };
        Self { name: name.clone(), entries: SubscriptionKey::ALL.map(entry), problem: None }
    }
}

fn interval(text: &str) -> Result<u64, AlterError> {
    text.parse().map_err(|_| {
        let words = format!("`interval.ms` is `{}`; it must be a number from 100 to 3600000", super::excerpt(text));
        AlterError::Request(words)
    })
}

/// Key and pattern, split at the first `=`.
fn pairs(matches: &[String]) -> impl Iterator<Item = (&str, &str)> {
    matches.iter().filter_map(|pair| pair.split_once('='))
}
