//! The outcome of a receiver that did not accept all of a batch.

use std::fmt;
use std::time::Duration;

use crate::Push;

/// Why a batch was not accepted, or not completely. Each case tells the host what to do next.
///
/// ```
/// # use std::time::Duration;
/// # use barnabas_sdk::{ExportError, testing};
/// ExportError::unavailable("the sink answered 503").retry_after(Duration::from_secs(30));
///
/// # let host = testing::batch([testing::TestPush::gauge("a", 1.0), testing::TestPush::gauge("b", 1.0)]);
/// # let batch = host.lend();
/// let mut pushes = batch.pushes();
/// let (first, second) = (pushes.next().unwrap(), pushes.next().unwrap());
/// ExportError::partial().reject(&first, "no such tenant").retry(&second);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[must_use = "an outcome does nothing until `export_metrics` returns it"]
pub enum ExportError {
    /// The receiver cannot accept the batch now: the host keeps it and offers it again later.
    #[non_exhaustive]
    Unavailable {
        /// The minimum time to wait. Without it the host uses its own backoff.
        retry_after: Option<Duration>,
        /// The reason, in one sentence for the operator.
        reason: String,
    },
    /// Only the operator can fix the problem. The host does the same as for `Unavailable`, and shows the plugin as
    /// misconfigured with this reason until it accepts a batch.
    Misconfigured(String),
    /// The batch is too large for the sink: the host offers it again in two halves. It drops a single push that is too
    /// large.
    TooLarge,
    /// A part of the batch was accepted.
    Partial(Partial),
    /// The sink refused the whole batch permanently: the host offers it again in halves until the offending push is
    /// alone, and drops that push with this reason.
    Rejected(String),
    /// Any other failure: the host offers the batch again a few times, then in halves. It drops a push that fails alone
    /// if the receiver has accepted other pushes since the first failure of that push.
    Other(String),
}

/// A batch that was accepted in part. The pushes that are neither in `rejected` nor in `retry` were accepted.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
#[must_use = "an outcome does nothing until `export_metrics` returns it"]
pub struct Partial {
    /// The pushes that the host drops: [`Push::index`], and the reason in one sentence for the operator.
    pub rejected: Vec<(u32, String)>,
    /// The pushes that the host offers again: [`Push::index`].
    pub retry: Vec<u32>,
    /// The minimum time to wait before the host offers those in `retry` again.
    pub retry_after: Option<Duration>,
}

impl ExportError {
    /// The receiver cannot accept the batch now: the host keeps the whole batch and offers it again.
    pub fn unavailable(reason: impl fmt::Display) -> Self {
        Self::Unavailable { retry_after: None, reason: reason.to_string() }
    }

    /// Only the operator can fix the problem, for example a wrong URL, invalid credentials or a missing grant. The host
    /// keeps the whole batch, offers it again, and shows the plugin as misconfigured with this reason until it accepts
    /// a batch.
    pub fn misconfigured(reason: impl fmt::Display) -> Self {
        Self::Misconfigured(reason.to_string())
    }

    /// The batch is too large for the sink.
    pub fn too_large() -> Self {
        Self::TooLarge
    }

    /// A part of the batch was accepted. Add the other pushes with [`Partial::reject`] and [`Partial::retry()`].
    pub fn partial() -> Partial {
        Partial::default()
    }

    /// The sink refused the whole batch because of its content, and did not say which push is the cause: the host finds
    /// it by splitting the batch. A receiver that knows the push should name it with [`partial`](Self::partial).
    pub fn rejected(reason: impl fmt::Display) -> Self {
        Self::Rejected(reason.to_string())
    }

    /// Any other failure, in one sentence.
    pub fn other(reason: impl fmt::Display) -> Self {
        Self::Other(reason.to_string())
    }

    /// Sets the minimum time to wait before the host offers the pushes again; `None` leaves it to the host. It has no
    /// effect on cases other than `Unavailable` and `Partial`.
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
                write!(f, "accepted in part: {rejected} rejected, {retry} to be retried")?;
                partial.rejected.first().map_or(Ok(()), |(index, reason)| write!(f, "; push {index}: {reason}"))
            }
            Self::Rejected(reason) => write!(f, "rejected: {reason}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for ExportError {}

impl Partial {
    /// The push can never be accepted.
    pub fn reject(mut self, push: &Push<'_>, reason: impl fmt::Display) -> Self {
        self.rejected.push((push.index(), reason.to_string()));
        self
    }

    /// The host should offer the push again.
    pub fn retry(mut self, push: &Push<'_>) -> Self {
        self.retry.push(push.index());
        self
    }

    /// Sets the minimum time to wait before the host offers pushes again; `None` leaves it to the host.
    pub fn retry_after(mut self, wait: impl Into<Option<Duration>>) -> Self {
        self.retry_after = wait.into();
        self
    }

    /// Whether no push was rejected or is to be retried, so that the whole batch was accepted.
    pub fn is_empty(&self) -> bool {
        self.rejected.is_empty() && self.retry.is_empty()
    }

    /// `Ok` if it [is empty](Self::is_empty), otherwise the outcome for the host.
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
        let host = testing::batch(["a", "b", "c"].map(|name| testing::TestPush::gauge(name, 1.0)));
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
                "accepted in part: 1 rejected, 1 to be retried; push 1: bad",
                "rejected: no name",
                "an error occurred when formatting an argument",
            ]
        );
    }
}
