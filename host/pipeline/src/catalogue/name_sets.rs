//! Metric names and sets of them, each stored once: clients of one library send the same set, whatever their number.
//!
//! Bounded: in names, in sets, and in the names of one set. What no client uses any more is evicted; what exceeds the
//! bounds is counted, not kept. The known names are always stored, so that no client can displace the standard with
//! names of its own.

use std::collections::HashSet;
use std::sync::Arc;

use super::known_metrics;

/// Sorted, each name once.
pub(super) type NameSet = Arc<[Arc<str>]>;

/// How much is stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameBounds {
    /// Names, the known ones included.
    pub(super) names: usize,
    /// Sets.
    pub(super) sets: usize,
    /// Names in one set.
    pub(super) names_per_set: usize,
}

impl Default for NameBounds {
    fn default() -> Self {
        Self { names: 4_096, sets: 1_024, names_per_set: 512 }
    }
}

#[derive(Debug)]
pub(super) struct NameSets {
    bounds: NameBounds,
    names: HashSet<Arc<str>>,
    sets: HashSet<NameSet>,
    /// Keeps the known names alive.
    _known: Vec<Arc<str>>,
}

impl NameSets {
    pub(super) fn new(bounds: NameBounds) -> Self {
        let known: Vec<Arc<str>> = known_metrics::known_names().map(Arc::from).collect();
        Self { bounds, names: known.iter().cloned().collect(), sets: HashSet::new(), _known: known }
    }

    /// The union of `old` and `seen`, and how many of the new names are not in it because a bound is reached.
    pub(super) fn union(&mut self, old: &NameSet, seen: &[&str]) -> (NameSet, u32) {
        let new: Vec<&str> = seen.iter().copied().filter(|name| !contains(old, name)).collect();
        if new.is_empty() {
            return (old.clone(), 0);
        }
        self.evict_unused(new.len());
        let mut names = old.to_vec();
        let mut lost = 0;
        for name in &new {
            match self.intern_name(name).filter(|_| names.len() < self.bounds.names_per_set) {
                Some(name) => names.push(name),
                None => lost += 1,
            }
        }
        names.sort_unstable();
        names.dedup();
        match self.intern_set(names) {
            Some(set) => (set, lost),
            None => (old.clone(), u32::try_from(new.len()).unwrap_or(u32::MAX)),
        }
    }

    fn intern_name(&mut self, name: &str) -> Option<Arc<str>> {
        if let Some(kept) = self.names.get(name) {
            return Some(kept.clone());
        }
        let name = (self.names.len() < self.bounds.names).then(|| Arc::<str>::from(name))?;
        self.names.insert(name.clone());
        Some(name)
    }

    fn intern_set(&mut self, names: Vec<Arc<str>>) -> Option<NameSet> {
        if let Some(kept) = self.sets.get(names.as_slice()) {
            return Some(kept.clone());
        }
        let set = (self.sets.len() < self.bounds.sets).then(|| NameSet::from(names))?;
        self.sets.insert(set.clone());
        Some(set)
    }

    /// Evicts what only this table holds, if space may be needed: at most once a push, so that clients cannot make it a
    /// burden.
    fn evict_unused(&mut self, names: usize) {
        if self.sets.len() >= self.bounds.sets || self.names.len() + names > self.bounds.names {
            self.sets.retain(|set| Arc::strong_count(set) > 1);
            self.names.retain(|name| Arc::strong_count(name) > 1);
        }
    }

    #[cfg(test)]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.names.len(), self.sets.len())
    }
}

fn contains(set: &NameSet, name: &str) -> bool {
    set.binary_search_by(|kept| (**kept).cmp(name)).is_ok()
}
