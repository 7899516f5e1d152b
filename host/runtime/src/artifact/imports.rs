//! Classes of imports: what a component may import.

use serde::{Deserialize, Serialize};

use crate::contract::PACKAGE;

/// Whether and why an import is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImportClass {
    /// Part of the contract that needs no grant.
    Contract,
    /// Always available: clocks, random, streams.
    Always,
    /// Linked, but without any effect: language runtimes import it whether they use it or not.
    Inert,
    /// Linked, and usable if the operator granted it; otherwise each call is denied.
    Granted,
    /// Not available: the artifact is refused.
    Unknown,
}

const ALWAYS_INTERFACES: [&str; 8] = [
    "wasi:clocks/wall-clock",
    "wasi:clocks/monotonic-clock",
    "wasi:random/random",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
];
const INERT_PACKAGES: [&str; 3] = ["wasi:cli/", "wasi:filesystem/", "wasi:sockets/"];
/// The only interface of the contract that needs a grant.
const STATE_INTERFACE: &str = "kafka-telemetry:receiver/state";
const HTTP_INTERFACES: [&str; 2] = ["wasi:http/types", "wasi:http/outgoing-handler"];

impl ImportClass {
    /// The stable name, as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contract => "contract",
            Self::Always => "always",
            Self::Inert => "inert",
            Self::Granted => "granted",
            Self::Unknown => "unknown",
        }
    }

    /// A description for people: what a host does with such an import.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Contract => "the contract itself",
            Self::Always => "always available",
            Self::Inert => "linked, without effect",
            Self::Granted => "denied unless the operator grants it",
            Self::Unknown => "not available, so the artifact is refused",
        }
    }

    /// Classifies an import by its full name, for example `wasi:http/types@0.2.6`.
    pub fn classify(import: &str) -> Self {
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
        if ALWAYS_INTERFACES.contains(&name) {
            Self::Always
        } else if HTTP_INTERFACES.contains(&name) {
            Self::Granted
        } else if INERT_PACKAGES.iter().any(|package| name.starts_with(package)) {
            Self::Inert
        } else {
            Self::Unknown
        }
    }
}

/// Whether an import, by its full name, is the contract's `state` interface.
pub(super) fn is_state(import: &str) -> bool {
    import.split('@').next() == Some(STATE_INTERFACE)
}

/// Whether an import, by its full name, is one of those for outgoing HTTP requests.
pub(super) fn is_http(import: &str) -> bool {
    import.split('@').next().is_some_and(|name| HTTP_INTERFACES.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        assert_eq!(ImportClass::classify("kafka-telemetry:receiver/log@0.1.0"), ImportClass::Contract);
        assert_eq!(ImportClass::classify("kafka-telemetry:receiver-spy/log@0.1.0"), ImportClass::Unknown);
        assert_eq!(ImportClass::classify("wasi:clocks/wall-clock@0.2.9"), ImportClass::Always);
        assert_eq!(ImportClass::classify("wasi:clocks/wall-clock@0.3.0"), ImportClass::Unknown);
        assert_eq!(ImportClass::classify("wasi:clocks/timezone@0.2.9"), ImportClass::Unknown);
        assert_eq!(ImportClass::classify("wasi:sockets/tcp@0.2.0"), ImportClass::Inert);
        assert_eq!(ImportClass::classify("wasi:http/outgoing-handler@0.2.4"), ImportClass::Granted);
        assert_eq!(ImportClass::classify("wasi:http/incoming-handler@0.2.4"), ImportClass::Unknown);
        assert_eq!(ImportClass::classify("kafka-telemetry:receiver/state@0.1.0"), ImportClass::Granted);
        assert_eq!(ImportClass::classify("env"), ImportClass::Unknown);
    }
}
