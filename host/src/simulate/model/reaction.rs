//! What a client does about an error: the tables of Java's `ClientTelemetryUtils` and librdkafka's `rdkafka_telemetry.c`.

use std::time::Duration;

use super::ClientKind;
use crate::kafka::api;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// A Get after so long.
    Get(Duration),
    /// A Get after the interval.
    GetLater,
    /// A push after the interval.
    PushLater,
    /// Nothing any more, and why.
    Never(&'static str),
}

/// A Get without delay.
const IMMEDIATELY: Reaction = Reaction::Get(Duration::ZERO);

impl ClientKind {
    /// A Get was answered with an error.
    pub(super) fn after_get(self, code: i16) -> Reaction {
        if self.is_java() { java(code) } else { Reaction::GetLater }
    }

    /// A push was answered with an error.
    pub(super) fn after_push(self, code: i16) -> Reaction {
        if self.is_java() { java(code) } else { librdkafka(code) }
    }

    /// The connection went while an answer was awaited.
    pub(super) fn after_loss(self) -> Reaction {
        match self {
            Self::Java37 | Self::Java39 => Reaction::Never("its connection was closed with a request in flight"),
            Self::Java42 => Reaction::Get(self.fallback_interval()),
            Self::Librdkafka => Reaction::GetLater,
        }
    }
}

fn java(code: i16) -> Reaction {
    match code {
        api::UNKNOWN_SUBSCRIPTION_ID | api::UNSUPPORTED_COMPRESSION_TYPE => IMMEDIATELY,
        api::TELEMETRY_TOO_LARGE | api::THROTTLING_QUOTA_EXCEEDED => Reaction::GetLater,
        api::INVALID_REQUEST => Reaction::Never("it was answered INVALID_REQUEST"),
        api::INVALID_RECORD => Reaction::Never("it was answered INVALID_RECORD"),
        api::UNSUPPORTED_VERSION => Reaction::Never("it was answered UNSUPPORTED_VERSION"),
        _ => Reaction::Never("it was answered an error that it has no rule for"),
    }
}

fn librdkafka(code: i16) -> Reaction {
    match code {
        api::UNKNOWN_SUBSCRIPTION_ID => IMMEDIATELY,
        api::TELEMETRY_TOO_LARGE => Reaction::PushLater,
        api::INVALID_REQUEST => Reaction::Never("it was answered INVALID_REQUEST"),
        api::INVALID_RECORD => Reaction::Never("it was answered INVALID_RECORD"),
        _ => Reaction::GetLater,
    }
}
