//! One subscription: what the file says, what was altered over the wire, and what comes of the two.

use std::sync::Arc;

use super::key::text;
use super::{AlterError, DescribedEntry, DescribedSubscription, Entries, SubscriptionKey, ValueSource};
use barnabas_pipeline::admission::SubscriptionRule;

/// One of the book. Never altered: another takes its place.
#[derive(Debug)]
pub(super) struct EffectiveSubscription {
    /// Empty where the file does not name it.
    pub(super) file: Entries,
    /// Empty where nothing was altered.
    pub(super) stored: Entries,
    /// A document of the store that a later release wrote.
    pub(super) unreadable: bool,
    /// A document of the store that nobody can read. The file counts, and what is altered takes its place.
    pub(super) damaged: bool,
    /// What admission is told; `None` where it makes no sense to this release.
    pub(super) rule: Option<SubscriptionRule>,
    pub(super) described: Arc<DescribedSubscription>,
    /// Bytes of its name and its text.
    pub(super) text: usize,
    /// Bytes of its patterns, compiled.
    pub(super) patterns: usize,
}

impl EffectiveSubscription {
    /// Of nothing yet.
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

    /// Joins the two. The error is what makes no sense.
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

    /// One that is kept and shown, and means nothing.
    pub(super) fn disabled(name: &Arc<str>, file: Entries, stored: Entries, problem: String) -> Self {
        let described = DescribedSubscription {
            problem: Some(problem),
            ..DescribedSubscription::from_entries(name, &file, &stored)
        };
        Self { file, stored, described: Arc::new(described), text: name.len(), ..Self::empty() }
    }

    /// What the file says, if anything, where the store holds a document that nobody can read.
    pub(super) fn with_damaged_record(name: &Arc<str>, file: Entries, problem: String) -> Result<Self, AlterError> {
        let none = Entries::new();
        let described =
            DescribedSubscription { problem: Some(problem), ..DescribedSubscription::from_entries(name, &file, &none) };
        let held =
            if file.is_empty() { Self { text: name.len(), ..Self::empty() } } else { Self::new(name, file, none)? };
        Ok(Self { damaged: true, described: Arc::new(described), ..held })
    }

    /// What counts for this key: empty for a list that nobody speaks of.
    pub(super) fn effective(&self, key: SubscriptionKey) -> &[String] {
        self.stored.get(&key).or_else(|| self.file.get(&key)).map_or(&[], Vec::as_slice)
    }

    /// Whether there is anything of it.
    pub(super) fn exists(&self) -> bool {
        self.unreadable || self.damaged || !self.file.is_empty() || !self.stored.is_empty()
    }

    /// Whether a client could not tell the two apart.
    pub(super) fn is_equivalent(&self, other: &Self) -> bool {
        let same = |key| self.effective(key) == other.effective(key);
        self.rule.is_some() == other.rule.is_some() && SubscriptionKey::ALL.into_iter().all(same)
    }

    fn make_rule(&self, name: &str) -> Result<SubscriptionRule, AlterError> {
        let interval = self.effective(SubscriptionKey::Interval).first().map(|text| interval(text)).transpose()?;
        // Alone first: a wrong interval and a wrong pattern have codes of their own.
        SubscriptionRule::new(name, Vec::new(), interval, &[]).map_err(AlterError::Request)?;
        let matches = self.effective(SubscriptionKey::Match);
        if let Some(bad) = matches.iter().find(|pair| !pair.contains('=')) {
            let words = format!("`match` has `{}`, which is not `key=pattern`", super::excerpt(bad));
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
