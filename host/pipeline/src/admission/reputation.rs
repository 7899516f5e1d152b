//! Two kinds of instances: those that had a push admitted, and the others.
//!
//! An unestablished client costs an attacker nothing to invent, so it is evicted first.

/// Whether a client ever had a push admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reputation {
    /// None of its pushes was ever admitted.
    Unestablished,
    /// At least one was.
    Established,
}

impl Reputation {
    /// In the order of eviction.
    pub(super) const ALL: [Self; 2] = [Self::Unestablished, Self::Established];
}

/// One value for each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerReputation<T> {
    unestablished: T,
    established: T,
}

impl<T> PerReputation<T> {
    pub(super) fn get(&self, reputation: Reputation) -> &T {
        match reputation {
            Reputation::Unestablished => &self.unestablished,
            Reputation::Established => &self.established,
        }
    }

    pub(super) fn get_mut(&mut self, reputation: Reputation) -> &mut T {
        match reputation {
            Reputation::Unestablished => &mut self.unestablished,
            Reputation::Established => &mut self.established,
        }
    }
}
