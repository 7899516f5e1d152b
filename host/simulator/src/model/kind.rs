//! Kinds of clients with different behaviour.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A kind of client, named after the first version with this behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientKind {
    /// Java 3.7: does not compress, otherwise like 3.9.
    Java37,
    /// Java 3.8 to 4.1.0: losing a connection with a request in flight stops its telemetry for good.
    Java39,
    /// Java 4.1.1 and later (KAFKA-19747): recovers from that, but a node without telemetry stops it for good.
    Java42,
    /// librdkafka 2.5.3 and later.
    Librdkafka,
}

impl ClientKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Java37, Self::Java39, Self::Java42, Self::Librdkafka];

    /// The name: `java-3.7`, `java-3.9`, `java-4.2`, `librdkafka`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Java37 => "java-3.7",
            Self::Java39 => "java-3.9",
            Self::Java42 => "java-4.2",
            Self::Librdkafka => "librdkafka",
        }
    }

    pub(super) fn is_java(self) -> bool {
        self != Self::Librdkafka
    }

    /// Range of the delay between a Get and the first push, as a fraction of the interval.
    pub(super) fn jitter(self) -> (f64, f64) {
        if self.is_java() { (0.5, 1.5) } else { (0.8, 1.2) }
    }

    /// The push interval until the client has received a valid one.
    pub(super) fn fallback_interval(self) -> Duration {
        Duration::from_secs(if self.is_java() { 300 } else { 30 })
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClientKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is not a kind of client; use {known}")
        })
    }
}
