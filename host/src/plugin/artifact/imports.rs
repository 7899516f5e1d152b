//! What a component may import, by class.

use serde::{Deserialize, Serialize};

use crate::contract::PACKAGE;

/// Why an import is linked, or is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// The contract itself, less what wants a grant.
    Contract,
    /// Always there: clocks, random, streams.
    Always,
    /// There, and gives nothing: language runtimes name it whether they use it or not.
    Inert,
    /// There, and of use where the operator granted it; else each call is refused.
    Granted,
    /// Refused.
    Unknown,
}

const ALWAYS: [&str; 8] = [
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
];
const INERT: [&str; 3] = ["wasi:cli/", "wasi:filesystem/", "wasi:sockets/"];
/// The one interface of the contract that wants a grant.
const STATE: &str = "kafka-telemetry:receiver/state";
const GRANTED: [&str; 2] = ["wasi:http/types", "wasi:http/outgoing-handler"];

impl Class {
    /// Its name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Always => "always",
            Self::Inert => "inert",
            Self::Granted => "granted",
            Self::Unknown => "unknown",
        }
    }

    /// For a person: what a host does with such an import.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Contract => "the contract itself",
            Self::Always => "always there",
            Self::Inert => "there, and gives nothing",
            Self::Granted => "refuses each call unless the operator grants it",
            Self::Unknown => "refused",
        }
    }

    /// Of an import by its full name, for example `wasi:http/types@0.2.6`.
    pub fn of(import: &str) -> Self {
        let (name, version) = import.split_once('@').unwrap_or((import, ""));
        if is_state(name) {
            return Self::Granted;
        }
        if name.strip_prefix(PACKAGE).is_some_and(|rest| rest.starts_with('/')) {
            return Self::Contract;
        }
        if !version.starts_with("0.2.") {
            return Self::Unknown;
        }
        if ALWAYS.contains(&name) {
            Self::Always
        } else if GRANTED.contains(&name) {
            Self::Granted
        } else if INERT.iter().any(|package| name.starts_with(package)) {
            Self::Inert
        } else {
            Self::Unknown
        }
    }
}

/// Whether an import, by its full name, is the state of the contract.
pub(super) fn is_state(import: &str) -> bool {
    import.split('@').next() == Some(STATE)
}

/// Whether an import, by its full name, is one of those that lead to outgoing requests.
pub(super) fn is_http(import: &str) -> bool {
    import.split('@').next().is_some_and(|name| GRANTED.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert_eq!(Class::of("kafka-telemetry:receiver/log@0.1.0"), Class::Contract);
        assert_eq!(Class::of("kafka-telemetry:receiver-spy/log@0.1.0"), Class::Unknown);
        assert_eq!(Class::of("wasi:clocks/wall-clock@0.2.9"), Class::Always);
        assert_eq!(Class::of("wasi:clocks/wall-clock@0.3.0"), Class::Unknown);
        assert_eq!(Class::of("wasi:clocks/timezone@0.2.9"), Class::Unknown);
        assert_eq!(Class::of("wasi:sockets/tcp@0.2.0"), Class::Inert);
        assert_eq!(Class::of("wasi:http/outgoing-handler@0.2.4"), Class::Granted);
        assert_eq!(Class::of("wasi:http/incoming-handler@0.2.4"), Class::Unknown);
        assert_eq!(Class::of("kafka-telemetry:receiver/state@0.1.0"), Class::Granted);
        assert_eq!(Class::of("env"), Class::Unknown);
    }
}
