//! The reaction of clients to errors: the tables of Java's `ClientTelemetryUtils` and librdkafka's `rdkafka_telemetry.c`.

use std::time::Duration;

use super::ClientKind;
use barnabas_kafka_wire::api;

/// The next action of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// A Get after this time.
    Get(Duration),
    /// A Get after the interval.
    GetLater,
    /// A push after the interval.
    PushLater,
    /// The client stops for good, for this reason.
    Never(&'static str),
}

/// A Get without delay.
const IMMEDIATELY: Reaction = Reaction::Get(Duration::ZERO);

impl ClientKind {
    /// After a Get that failed with this error.
    pub(super) fn after_get(self, code: i16) -> Reaction {
        if self.is_java() { java(code) } else { Reaction::GetLater }
    }

    /// After a push that failed with this error.
    pub(super) fn after_push(self, code: i16) -> Reaction {
        if self.is_java() { java(code) } else { librdkafka(code) }
    }

    /// After a connection that was lost with a request in flight.
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
        api::INVALID_REQUEST => Reaction::Never("it received INVALID_REQUEST"),
        api::INVALID_RECORD => Reaction::Never("it received INVALID_RECORD"),
        api::UNSUPPORTED_VERSION => Reaction::Never("it received UNSUPPORTED_VERSION"),
        _ => Reaction::Never("it received an error that it does not handle"),
    }
}

fn librdkafka(code: i16) -> Reaction {
    match code {
        api::UNKNOWN_SUBSCRIPTION_ID => IMMEDIATELY,
        api::TELEMETRY_TOO_LARGE => Reaction::PushLater,
        api::INVALID_REQUEST => Reaction::Never("it received INVALID_REQUEST"),
        api::INVALID_RECORD => Reaction::Never("it received INVALID_RECORD"),
        _ => Reaction::GetLater,
    }
}
