//! Why a request was refused. Listeners translate it into their protocol's errors.

use std::borrow::Cow;

/// A closed list: each variant is one response on the wire.
///
/// `InvalidRequest` and `InvalidRecord` make clients switch their telemetry off until they are restarted (KIP-714).
/// They are only for a fault of the client itself, never for a receiver, a queue, a sink or a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Reserved instance id, or a push after a terminating one.
    #[error("invalid request: {0}")]
    InvalidRequest(&'static str),
    /// The subscription changed, or the host never issued that id.
    #[error("unknown subscription id {given}; the current one is {current}")]
    UnknownSubscription {
        /// The id in the push.
        given: i32,
        /// The current id.
        current: i32,
    },
    /// Earlier than the interval allows.
    #[error("too soon: the interval is {interval_ms} ms")]
    TooSoon {
        /// The client's push interval.
        interval_ms: u64,
    },
    /// More than its connection or its source may send in a minute; answered like `TooSoon`, after which every client
    /// retries.
    #[error("over quota: {scope} may send {per_minute} {resource} a minute; to allow more, raise `{setting}`")]
    OverQuota {
        /// `one connection`, `one source` or `this principal`.
        scope: &'static str,
        /// The resource that was exceeded.
        resource: &'static str,
        /// The limit.
        per_minute: u64,
        /// The configuration key to raise.
        setting: &'static str,
    },
    /// A compression type outside 0–4.
    #[error("unknown compression type {0}")]
    UnsupportedCodec(i8),
    /// Beyond a limit of the size on the wire, of the decompressed size, or of their ratio.
    #[error("too large: {0}")]
    TooLarge(String),
    /// Bytes that cannot be parsed.
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
