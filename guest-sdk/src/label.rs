//! Labels: facts that the host adds to the resource attributes of a request.

use crate::Fact;
use crate::contract::batches as host;

/// A fact that the host adds to the resource attributes of every push in
/// [`Batch::otlp_request`](crate::Batch::otlp_request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    attribute: String,
    fact: Fact,
    when_absent: bool,
}

impl Label {
    /// Sets the resource attribute `attribute` to the value of `fact`, and replaces an attribute of the same key that
    /// the client sent. A push for which the host does not know the fact does not get the attribute.
    pub fn new(attribute: impl Into<String>, fact: Fact) -> Self {
        Self { attribute: attribute.into(), fact, when_absent: false }
    }

    /// A label whose attribute has the name of the fact.
    pub fn fact(fact: Fact) -> Self {
        Self::new(fact.name(), fact)
    }

    /// Sets the attribute only if the client did not send it.
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
