//! Why something was refused. Doors translate it into their protocol's words.

use std::borrow::Cow;

/// A closed list: each case is one answer on the wire.
///
/// `InvalidRequest` and `InvalidRecord` silence a client for good (KIP-714 clients switch telemetry off): they are for
/// a client that is itself at fault, never for a receiver, a queue, a sink or a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Reserved instance id, or a push after a terminating one.
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
    /// The subscription changed, or the host never gave out that id.
    #[error("unknown subscription id {given}; the current one is {current}")]
    UnknownSubscription {
        /// What the push said.
        given: i32,
        /// What it should have said.
        current: i32,
    },
    /// Earlier than the interval allows.
    #[error("too soon: the interval is {interval_ms} ms")]
    TooSoon {
        /// The client's push interval.
        interval_ms: u64,
    },
    /// More than its connection or its source may bring in a minute; answered like `TooSoon`, after which every client
    /// comes back.
    #[error("over quota: {scope} may bring {per_minute} {resource} a minute; raise `{setting}` if that is too little")]
    OverQuota {
        /// `one connection`, `one source` or `this principal`.
        scope: &'static str,
        /// What there is too much of.
        resource: &'static str,
        /// How much is allowed.
        per_minute: u64,
        /// What of the configuration to raise.
        setting: &'static str,
    },
    /// A compression type outside 0–4.
    #[error("unknown compression type {0}")]
    UnsupportedCodec(i8),
    /// Beyond a limit on the wire, decompressed, or in their ratio.
    #[error("too large: {0}")]
    TooLarge(String),
    /// Bytes that no reader could parse.
    #[error("invalid record: {0}")]
    InvalidRecord(Cow<'static, str>),
}

impl Refusal {
    /// Every [`Refusal::code`].
    pub const CODES: [&'static str; 7] = [
        "invalid_request",
        "unknown_subscription",
        "throttled",
        "over_quota",
        "unsupported_compression",
        "too_large",
        "invalid_record",
    ];

    /// Stable name for metrics and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::UnknownSubscription { .. } => "unknown_subscription",
            Self::TooSoon { .. } => "throttled",
            Self::OverQuota { .. } => "over_quota",
            Self::UnsupportedCodec(_) => "unsupported_compression",
            Self::TooLarge(_) => "too_large",
            Self::InvalidRecord(_) => "invalid_record",
        }
    }
}
