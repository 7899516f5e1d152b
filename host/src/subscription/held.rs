//! One subscription: what the file says, what was altered over the wire, and what comes of the two.

use std::sync::Arc;

use super::key::text;
use super::{AlterRefused, Described, DescribedEntry, Entries, Key, Source};
use crate::admission::SubscriptionRule;

/// One of the book. Never altered: another takes its place.
#[derive(Debug)]
pub(super) struct Held {
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
    pub(super) described: Arc<Described>,
    /// Bytes of its name and its text.
    pub(super) text: usize,
    /// Bytes of its patterns, compiled.
    pub(super) patterns: usize,
}

impl Held {
    /// Of nothing yet.
    pub(super) fn none() -> Self {
        Self {
            file: Entries::new(),
            stored: Entries::new(),
            unreadable: false,
            damaged: false,
            rule: None,
            described: Arc::new(Described::of(&Arc::from(""), &Entries::new(), &Entries::new())),
            text: 0,
            patterns: 0,
        }
    }

    /// Joins the two. The error is what makes no sense.
    pub(super) fn new(name: &Arc<str>, file: Entries, stored: Entries) -> Result<Self, AlterRefused> {
        let described = Arc::new(Described::of(name, &file, &stored));
        let said = file.values().chain(stored.values()).flatten().map(String::len).sum::<usize>();
        let text = name.len() + said;
        let mut held = Self { file, stored, described, text, ..Self::none() };
        let rule = held.make_rule(name)?;
        held.patterns = rule.compiled_bytes();
        held.rule = Some(rule);
        Ok(held)
    }

    /// One that is kept and shown, and means nothing.
    pub(super) fn left_out(name: &Arc<str>, file: Entries, stored: Entries, problem: String) -> Self {
        let described = Described { problem: Some(problem), ..Described::of(name, &file, &stored) };
        Self { file, stored, described: Arc::new(described), text: name.len(), ..Self::none() }
    }

    /// What the file says, if anything, where the store holds a document that nobody can read.
    pub(super) fn over_damage(name: &Arc<str>, file: Entries, problem: String) -> Result<Self, AlterRefused> {
        let none = Entries::new();
        let described = Described { problem: Some(problem), ..Described::of(name, &file, &none) };
        let held =
            if file.is_empty() { Self { text: name.len(), ..Self::none() } } else { Self::new(name, file, none)? };
        Ok(Self { damaged: true, described: Arc::new(described), ..held })
    }

    /// What counts for this key: empty for a list that nobody speaks of.
    pub(super) fn effective(&self, key: Key) -> &[String] {
        self.stored.get(&key).or_else(|| self.file.get(&key)).map_or(&[], Vec::as_slice)
    }

    /// Whether there is anything of it.
    pub(super) fn exists(&self) -> bool {
        self.unreadable || self.damaged || !self.file.is_empty() || !self.stored.is_empty()
    }

    /// Whether a client could not tell the two apart.
    pub(super) fn means_the_same(&self, other: &Self) -> bool {
        let same = |key| self.effective(key) == other.effective(key);
        self.rule.is_some() == other.rule.is_some() && Key::ALL.into_iter().all(same)
    }

    fn make_rule(&self, name: &str) -> Result<SubscriptionRule, AlterRefused> {
        let interval = self.effective(Key::Interval).first().map(|text| interval(text)).transpose()?;
        // Alone first: a wrong interval and a wrong pattern have codes of their own.
        SubscriptionRule::new(name, Vec::new(), interval, &[]).map_err(AlterRefused::Request)?;
        let matches = self.effective(Key::Match);
        if let Some(bad) = matches.iter().find(|pair| !pair.contains('=')) {
            let words = format!("`match` has `{}`, which is not `key=pattern`", super::shown(bad));
            return Err(AlterRefused::Config(words));
        }
        let matches: Vec<_> = pairs(matches).map(|(key, pattern)| (key.to_owned(), pattern.to_owned())).collect();
        let metrics = self.effective(Key::Metrics).to_vec();
        SubscriptionRule::new(name, metrics, interval, &matches).map_err(AlterRefused::Config)
    }
}

impl Described {
    pub(super) fn of(name: &Arc<str>, file: &Entries, stored: &Entries) -> Self {
        let entry = |key: Key| {
            let said = |source: Source, by: &Entries| by.get(&key).map(|elements| (source, text(elements)));
            let synonyms = [said(Source::Dynamic, stored), said(Source::File, file)];
            let synonyms = synonyms.into_iter().flatten();
            let default = (Source::Default, key.default_text().to_owned());
            DescribedEntry { key, synonyms: synonyms.chain([default]).collect() }
        };
        Self { name: name.clone(), entries: Key::ALL.map(entry), problem: None }
    }
}

fn interval(text: &str) -> Result<u64, AlterRefused> {
    text.parse().map_err(|_| {
        let words = format!("`interval.ms` is `{}`; it must be a number from 100 to 3600000", super::shown(text));
        AlterRefused::Request(words)
    })
}

/// Key and pattern, split at the first `=`.
fn pairs(matches: &[String]) -> impl Iterator<Item = (&str, &str)> {
    matches.iter().filter_map(|pair| pair.split_once('='))
}
