//! Two kinds of instances: those that had a push let pass, and strangers.
//!
//! A stranger costs nothing to invent, and is forgotten first.

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reputation {
    /// No push of it was ever let pass.
    Unestablished,
    /// One was.
    Established,
}

impl Reputation {
    /// In the order in which they are forgotten.
    pub(super) const ALL: [Self; 2] = [Self::Unestablished, Self::Established];
}

/// One of each.
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
