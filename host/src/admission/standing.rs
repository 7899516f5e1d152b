//! Two kinds of instances: those that had a push let pass, and strangers.
//!
//! A stranger costs nothing to invent, and is forgotten first.

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No push of it was ever let pass.
    Stranger,
    /// One was.
    Proven,
}

impl Standing {
    /// In the order in which they are forgotten.
    pub(super) const ALL: [Self; 2] = [Self::Stranger, Self::Proven];
}

/// One of each.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    strangers: T,
    proven: T,
}

impl<T> Both<T> {
    pub(super) fn of(&self, standing: Standing) -> &T {
        match standing {
            Standing::Stranger => &self.strangers,
            Standing::Proven => &self.proven,
        }
    }

    pub(super) fn of_mut(&mut self, standing: Standing) -> &mut T {
        match standing {
            Standing::Stranger => &mut self.strangers,
            Standing::Proven => &mut self.proven,
        }
    }
}
