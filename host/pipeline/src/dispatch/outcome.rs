//! The outcome of offering a batch to a receiver.

use std::time::Duration;

/// Named by what the host must do. The first six are the receiver's results (`export-error` in `wit/`); `Faulted` is
/// observed by the host itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The whole batch was accepted.
    Taken,
    /// Offer the same batch again later.
    Unavailable {
        /// The shortest wait that the sink asked for.
        retry_after: Option<Duration>,
        /// For the operator.
        reason: String,
    },
    /// Offer it again in halves; a single push is dropped.
    TooLarge,
    /// The pushes in neither list were accepted; a push in both is rejected.
    Partial {
        /// To be dropped: index in the batch, reason.
        rejected: Vec<(u32, String)>,
        /// To be offered again.
        retry: Vec<u32>,
        /// The shortest wait.
        retry_after: Option<Duration>,
    },
    /// The sink rejected the batch as a whole: offer it again in halves, until the push at fault is alone and is
    /// dropped. The reason is for the operator.
    Rejected(String),
    /// Like unavailable, with a small limit on attempts; then like rejected.
    Other(String),
    /// The instance failed: the batch is retried once, on a fresh instance.
    Faulted(Fault, String),
}

impl Outcome {
    /// The reason, if there is one; for a partial result, why the first push was rejected.
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

/// How an instance failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A WebAssembly trap (unreachable, out of bounds, stack exhausted, a panic of the guest).
    Trap,
    /// One call used more CPU time than its limit.
    CpuLimit,
    /// One call took longer than its deadline, waiting included.
    Deadline,
    /// It requested more memory than its limit and then failed.
    MemoryLimit,
    /// The host itself failed while serving it.
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
