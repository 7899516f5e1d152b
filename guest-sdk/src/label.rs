//! Context labels, built.

use crate::Label;

impl Label {
    /// Sets this resource attribute to this fact (by the names of [`Push::fact`](crate::Push::fact)), in place of
    /// whatever the client sent under the same key. A push that lacks the fact goes without the label.
    pub fn new(attribute: impl Into<String>, fact: impl Into<String>) -> Self {
        Self { attribute: attribute.into(), fact: fact.into(), when_absent: false }
    }

    /// A label that is called as its fact is.
    pub fn fact(name: &str) -> Self {
        Self::new(name, name)
    }

    /// Keeps the attribute where the client sent it, and sets it only where it did not.
    #[must_use]
    pub fn when_absent(mut self) -> Self {
        self.when_absent = true;
        self
    }
}
