//! What a receiver answers when it did not take all of a batch.

use std::time::Duration;

/// Why a batch was not (wholly) taken, by what the host shall do about it.
///
/// ```
/// # use std::time::Duration;
/// # use barnabas_sdk::ExportError;
/// ExportError::unavailable("the sink answered 503").retry_after(Duration::from_secs(30));
/// ExportError::partial().reject(3, "no such tenant").retry(4);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ExportError {
    /// Offer the same batch again later.
    Unavailable {
        /// Wait at least this long; without it the host backs off by its own rule.
        retry_after: Option<Duration>,
        /// One sentence for the operator.
        reason: String,
    },
    /// Offer it again in two halves; a single push that is too large becomes a dead letter.
    TooLarge,
    /// Part of it was taken.
    Partial(Partial),
    /// The sink refused the batch as a whole, for good, without naming a push (HTTP 400). One sentence for the operator.
    /// The host offers the batch in halves until the push at fault is alone, which becomes a dead letter with this
    /// reason.
    Rejected(String),
    /// Anything else, in one sentence: offered again a few times, then in halves; a push that fails alone becomes a dead
    /// letter.
    Other(String),
}

/// A batch of which some pushes were taken: those that are named neither as rejected nor as to be retried.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Partial {
    /// Never to be offered again: index and one sentence for the operator.
    pub rejected: Vec<(u32, String)>,
    /// To be offered again.
    pub retry: Vec<u32>,
    /// Those in `retry` wait at least this long.
    pub retry_after: Option<Duration>,
}

impl ExportError {
    /// Not now: the host keeps the whole batch and offers it again.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { retry_after: None, reason: reason.into() }
    }

    /// The batch is too large for the sink.
    pub fn too_large() -> Self {
        Self::TooLarge
    }

    /// Part of the batch was taken: name the rest.
    pub fn partial() -> Partial {
        Partial::default()
    }

    /// The sink refused the batch as a whole and for good: the host finds the push at fault by halving.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected(reason.into())
    }

    /// Any other failure, in one sentence.
    pub fn other(reason: impl Into<String>) -> Self {
        Self::Other(reason.into())
    }

    /// Sets the least wait before the host offers the pushes again. Changes nothing where nothing is offered again by
    /// the receiver's wish.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        match &mut self {
            Self::Unavailable { retry_after, .. } => *retry_after = Some(wait),
            Self::Partial(partial) => partial.retry_after = Some(wait),
            Self::TooLarge | Self::Rejected(_) | Self::Other(_) => {}
        }
        self
    }
}

impl Partial {
    /// This push can never be taken.
    #[must_use]
    pub fn reject(mut self, index: u32, reason: impl Into<String>) -> Self {
        self.rejected.push((index, reason.into()));
        self
    }

    /// This push is to be offered again.
    #[must_use]
    pub fn retry(mut self, index: u32) -> Self {
        self.retry.push(index);
        self
    }

    /// Those to be offered again wait at least this long.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Whether nothing was named, so that all of the batch was taken.
    pub fn is_empty(&self) -> bool {
        self.rejected.is_empty() && self.retry.is_empty()
    }

    /// `Ok` when nothing was named, else the outcome for the host.
    pub fn outcome(self) -> Result<(), ExportError> {
        if self.is_empty() { Ok(()) } else { Err(self.into()) }
    }
}

impl From<Partial> for ExportError {
    fn from(partial: Partial) -> Self {
        Self::Partial(partial)
    }
}

impl From<String> for ExportError {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

impl From<&str> for ExportError {
    fn from(reason: &str) -> Self {
        Self::Other(reason.to_owned())
    }
}

impl From<prost::DecodeError> for ExportError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Other(format!("a push could not be decoded: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{ExportError, Partial};

    #[test]
    fn a_wait_is_kept_where_something_is_offered_again() {
        let wait = Duration::from_secs(3);
        let unavailable = ExportError::unavailable("busy").retry_after(wait);
        assert_eq!(unavailable, ExportError::Unavailable { retry_after: Some(wait), reason: "busy".into() });
        let partial = ExportError::from(Partial::default().retry(1)).retry_after(wait);
        assert!(matches!(partial, ExportError::Partial(Partial { retry_after: Some(found), .. }) if found == wait));
        assert_eq!(ExportError::too_large().retry_after(wait), ExportError::TooLarge);
    }

    #[test]
    fn a_partial_outcome_that_names_nothing_is_a_success() {
        assert_eq!(ExportError::partial().outcome(), Ok(()));
        let rejecting = ExportError::partial().reject(0, "bad");
        assert_eq!(rejecting.clone().outcome(), Err(ExportError::Partial(rejecting)));
    }
}
