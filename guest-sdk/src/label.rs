//! Labels that the host puts on what it writes for a receiver.

use crate::Fact;
use crate::contract::batches as host;

/// A fact that the host shall put among the resource attributes of every push: for
/// [`Batch::otlp_request`](crate::Batch::otlp_request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    attribute: String,
    fact: Fact,
    when_absent: bool,
}

impl Label {
    /// Sets this resource attribute to this fact, in place of whatever the client sent under the same key. A push that
    /// lacks the fact goes without the label.
    pub fn new(attribute: impl Into<String>, fact: Fact) -> Self {
        Self { attribute: attribute.into(), fact, when_absent: false }
    }

    /// A label that is called as its fact is.
    pub fn fact(fact: Fact) -> Self {
        Self::new(fact.name(), fact)
    }

    /// Keeps the attribute where the client sent it, and sets it only where it did not.
    #[must_use]
    pub fn when_absent(mut self) -> Self {
        self.when_absent = true;
        self
    }
}

impl From<&Label> for host::Label {
    fn from(label: &Label) -> Self {
        let Label { attribute, fact, when_absent } = label;
        Self { attribute: attribute.clone(), fact: fact.name().to_owned(), when_absent: *when_absent }
    }
}
