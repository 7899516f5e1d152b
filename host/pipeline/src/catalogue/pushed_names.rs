//! The metric names in one push.

use std::collections::HashSet;

use barnabas_otlp::walk;

/// Longer names are not kept. No known name is half as long.
pub(super) const MAX_NAME_BYTES: usize = 256;
/// The most distinct names that are read from one push.
pub(super) const MAX_NAMES: usize = 512;

/// The distinct names of a push, and the number of metrics whose name was skipped.
#[derive(Debug, Default)]
pub(super) struct PushedNames<'a> {
    pub(super) names: HashSet<&'a str>,
    pub(super) skipped: u32,
}

impl<'a> PushedNames<'a> {
    /// Reads a checked payload.
    pub(super) fn from_payload(payload: &'a [u8]) -> Self {
        let mut sample = Self::default();
        // Java sends a block for each point, so names repeat; a metric without a name is ignored.
        walk::names(payload).filter(|name| !name.is_empty()).for_each(|name| sample.add(name));
        sample
    }

    fn add(&mut self, name: &'a str) {
        let fits = name.len() <= MAX_NAME_BYTES && self.names.len() < MAX_NAMES;
        if fits {
            self.names.insert(name);
        } else if !self.names.contains(name) {
            self.skipped = self.skipped.saturating_add(1);
        }
    }
}
