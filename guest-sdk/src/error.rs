//! What a receiver answers when it did not take all of a batch.

use std::fmt;
use std::time::Duration;

use crate::Push;

/// Why a batch was not (wholly) taken, by what the host shall do about it.
///
/// ```
/// # use std::time::Duration;
/// # use barnabas_sdk::{ExportError, testing};
/// ExportError::unavailable("the sink answered 503").retry_after(Duration::from_secs(30));
///
/// # let host = testing::batch([testing::Push::gauge("a", 1.0), testing::Push::gauge("b", 1.0)]);
/// # let batch = host.lend();
/// let mut pushes = batch.pushes();
/// let (first, second) = (pushes.next().unwrap(), pushes.next().unwrap());
/// ExportError::partial().reject(&first, "no such tenant").retry(&second);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use = "an outcome does nothing until `export_metrics` returns it"]
pub enum ExportError {
    /// Not now: the host keeps the batch and offers it again later.
    #[non_exhaustive]
    Unavailable {
        /// Wait at least this long; without it the host backs off by its own rule.
        retry_after: Option<Duration>,
        /// One sentence for the operator.
        reason: String,
    },
    /// As `Unavailable`, and the plugin is shown as misconfigured with this reason until a batch is taken: waiting does
    /// not help, the operator has to change something.
    Misconfigured(String),
    /// The batch is too large for the sink: the host offers it again in two halves. A single push that is too large
    /// becomes a dead letter.
    TooLarge,
    /// Part of it was taken.
    Partial(Partial),
    /// The sink refused the batch as a whole: the host offers it again in halves until the push at fault is alone,
    /// which becomes a dead letter with this reason.
    Rejected(String),
    /// Anything else: offered again a few times, then in halves. A push that fails alone becomes a dead letter once the
    /// receiver has taken others since it first failed.
    Other(String),
}

/// A batch of which some pushes were taken: those that are named neither as rejected nor as to be retried.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
#[must_use = "an outcome does nothing until `export_metrics` returns it"]
pub struct Partial {
    /// Never to be offered again: [`Push::index`] and one sentence for the operator.
    pub rejected: Vec<(u32, String)>,
    /// To be offered again: [`Push::index`].
    pub retry: Vec<u32>,
    /// Those in `retry` wait at least this long.
    pub retry_after: Option<Duration>,
}

impl ExportError {
    /// Not now: the host keeps the whole batch and offers it again.
    pub fn unavailable(reason: impl fmt::Display) -> Self {
        Self::Unavailable { retry_after: None, reason: reason.to_string() }
    }

    /// Only the operator can put it right: a wrong URL, refused credentials, a missing grant. The host keeps the whole
    /// batch, offers it again, and shows the plugin as misconfigured with this reason until a batch is taken.
    pub fn misconfigured(reason: impl fmt::Display) -> Self {
        Self::Misconfigured(reason.to_string())
    }

    /// The batch is too large for the sink.
    pub fn too_large() -> Self {
        Self::TooLarge
    }

    /// Part of the batch was taken: name the rest.
    pub fn partial() -> Partial {
        Partial::default()
    }

    /// The sink refused the whole batch for what is in it, and did not say which push is at fault: the host finds it by
    /// halving. A receiver that knows the push names it in [`partial`](Self::partial) instead.
    pub fn rejected(reason: impl fmt::Display) -> Self {
        Self::Rejected(reason.to_string())
    }

    /// Any other failure, in one sentence.
    pub fn other(reason: impl fmt::Display) -> Self {
        Self::Other(reason.to_string())
    }

    /// Sets the least wait before the host offers the pushes again; `None` leaves it to the host. Changes nothing but
    /// `Unavailable` and `Partial`.
    pub fn retry_after(mut self, wait: impl Into<Option<Duration>>) -> Self {
        match &mut self {
            Self::Unavailable { retry_after, .. } => *retry_after = wait.into(),
            Self::Partial(partial) => partial.retry_after = wait.into(),
            Self::Misconfigured(_) | Self::TooLarge | Self::Rejected(_) | Self::Other(_) => {}
        }
        self
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { retry_after: None, reason } => write!(f, "unavailable: {reason}"),
            Self::Unavailable { retry_after: Some(wait), reason } => {
                write!(f, "unavailable for {wait:?}: {reason}")
            }
            Self::Misconfigured(reason) => write!(f, "misconfigured: {reason}"),
            Self::TooLarge => f.write_str("the batch is too large"),
            Self::Partial(partial) => {
                let (rejected, retry) = (partial.rejected.len(), partial.retry.len());
                write!(f, "taken in part: {rejected} rejected, {retry} to be offered again")?;
                partial.rejected.first().map_or(Ok(()), |(index, reason)| write!(f, "; push {index}: {reason}"))
            }
            Self::Rejected(reason) => write!(f, "rejected: {reason}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ExportError {}

impl Partial {
    /// This push can never be taken.
    pub fn reject(mut self, push: &Push<'_>, reason: impl fmt::Display) -> Self {
        self.rejected.push((push.index(), reason.to_string()));
        self
    }

    /// This push is to be offered again.
    pub fn retry(mut self, push: &Push<'_>) -> Self {
        self.retry.push(push.index());
        self
    }

    /// Those to be offered again wait at least this long; `None` leaves it to the host.
    pub fn retry_after(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.retry_after = wait.into();
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
    use crate::testing;

    #[test]
    fn retry_after_applies_to_outcomes_that_are_retried() {
        let wait = Duration::from_secs(3);
        let unavailable = ExportError::unavailable("busy").retry_after(wait);
        assert_eq!(unavailable, ExportError::Unavailable { retry_after: Some(wait), reason: "busy".into() });
        assert_eq!(unavailable.retry_after(None), ExportError::unavailable("busy"));
        let partial = ExportError::from(Partial { retry: vec![1], ..Partial::default() }).retry_after(wait);
        assert!(matches!(partial, ExportError::Partial(Partial { retry_after: Some(found), .. }) if found == wait));
        assert_eq!(ExportError::too_large().retry_after(wait), ExportError::TooLarge);
        assert_eq!(ExportError::rejected("bad").retry_after(wait), ExportError::rejected("bad"));
    }

    #[test]
    fn an_empty_partial_outcome_is_a_success() {
        assert_eq!(ExportError::partial().outcome(), Ok(()));
        let host = testing::batch(["a", "b", "c"].map(|name| testing::Push::gauge(name, 1.0)));
        let partial = host.lend().pushes().skip(1).fold(ExportError::partial(), |partial, push| match push.index() {
            1 => partial.reject(&push, "bad"),
            _ => partial.retry(&push),
        });
        let wanted = Partial { rejected: vec![(1, "bad".into())], retry: vec![2], retry_after: None };
        assert_eq!(partial.outcome(), Err(ExportError::Partial(wanted)));
    }

    #[test]
    fn an_outcome_is_an_error_like_any_other() {
        let partial = Partial { rejected: vec![(1, "bad".into())], retry: vec![2], retry_after: None };
        let messages = [
            ExportError::unavailable("busy"),
            ExportError::unavailable("busy").retry_after(Duration::from_secs(3)),
            ExportError::misconfigured("no such path"),
            ExportError::too_large(),
            partial.into(),
            ExportError::rejected("no name"),
            ExportError::other(std::fmt::Error),
        ]
        .map(|error| Box::<dyn std::error::Error>::from(error).to_string());
        assert_eq!(
            messages,
            [
                "unavailable: busy",
                "unavailable for 3s: busy",
                "misconfigured: no such path",
                "the batch is too large",
                "taken in part: 1 rejected, 1 to be offered again; push 1: bad",
                "rejected: no name",
                "an error occurred when formatting an argument",
            ]
        );
    }
}
