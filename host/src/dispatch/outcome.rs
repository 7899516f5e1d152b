//! What came of offering a batch to a receiver.

use std::time::Duration;

/// By what the host shall do. The first six are the receiver's answers (`export-error` in `wit/`); `Broke` is the
/// host's own finding.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All of it was taken.
    Taken,
    /// Offer the same again later.
    Unavailable {
        /// The least wait the sink asked for.
        retry_after: Option<Duration>,
        /// For the operator.
        reason: String,
    },
    /// Offer it again in halves; a single push becomes a dead letter.
    TooLarge,
    /// The pushes in neither list were taken; one in both is rejected.
    Partial {
        /// Dead letters: index in the batch, reason.
        rejected: Vec<(u32, String)>,
        /// Offered again.
        retry: Vec<u32>,
        /// The least wait.
        retry_after: Option<Duration>,
    },
    /// The sink refused the batch as a whole: offer it again in halves, until the push at fault is alone and becomes a
    /// dead letter. The reason is for the operator.
    Rejected(String),
    /// As unavailable, with a small cap on attempts; then as rejected.
    Other(String),
    /// The instance is gone: the batch is retried once, on a fresh one.
    Faulted(Fault, String),
}

impl Outcome {
    /// Why, as far as somebody said so; of a partial answer, why the first push was rejected.
    pub fn reason(&self) -> Option<&str> {
        let reason = match self {
            Self::Taken | Self::TooLarge => return None,
            Self::Unavailable { reason, .. } => reason,
            Self::Rejected(reason) | Self::Other(reason) | Self::Faulted(_, reason) => reason,
            Self::Partial { rejected, .. } => &rejected.first()?.1,
        };
        Some(reason.as_str()).filter(|reason| !reason.is_empty())
    }

    /// Stable name for metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unavailable { .. } => "unavailable",
            Self::TooLarge => "too-large",
            Self::Partial { .. } => "partial",
            Self::Rejected(_) => "rejected",
            Self::Other(_) => "other",
            Self::Faulted(fault, _) => fault.name(),
        }
    }
}

/// How an instance broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A WebAssembly trap (unreachable, out of bounds, stack exhausted, a panic of the guest).
    Trap,
    /// More CPU time in one call than its limit.
    CpuLimit,
    /// Longer in one call than its deadline, waiting included.
    Deadline,
    /// It asked for more memory than its limit and then broke.
    MemoryLimit,
    /// The host's own failure while serving it.
    Host,
}

impl Fault {
    /// Stable name for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::CpuLimit => "cpu-limit",
            Self::Deadline => "deadline",
            Self::MemoryLimit => "memory-limit",
            Self::Host => "host",
        }
    }
}
