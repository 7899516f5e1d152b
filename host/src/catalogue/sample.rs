//! The names in one push.

use std::collections::HashSet;

use barnabas_otlp::walk;

/// Longer names are not kept. No known one is half as long.
pub(super) const LONGEST: usize = 256;
/// Most different names looked at in one push.
pub(super) const MOST: usize = 512;

/// The different names of a push, and how many metrics had one that was not looked at.
#[derive(Debug, Default)]
pub(super) struct Sample<'a> {
    pub(super) names: HashSet<&'a str>,
    pub(super) more: u32,
}

impl<'a> Sample<'a> {
    /// Of a payload that was checked.
    pub(super) fn of(payload: &'a [u8]) -> Self {
        let mut sample = Self::default();
        // Java sends a block for each point: names repeat, and a metric without one is not worth a word.
        walk::names(payload).filter(|name| !name.is_empty()).for_each(|name| sample.note(name));
        sample
    }

    fn note(&mut self, name: &'a str) {
        let fits = name.len() <= LONGEST && self.names.len() < MOST;
        if fits {
            self.names.insert(name);
        } else if !self.names.contains(name) {
            self.more = self.more.saturating_add(1);
        }
    }
}
