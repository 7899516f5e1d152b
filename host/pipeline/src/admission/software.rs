//! Rules for clients by their software: which are harmed by telemetry, and how "all metrics" is spelled for each.
//!
//! In: name and version from ApiVersions. Out: the first rule that matches, the operator's rules before the built-in
//! ones.

use regex::Regex;

use super::rule;
use crate::push::Client;

/// One rule for clients of this software. A fact that a client did not send matches no pattern.
#[derive(Clone, Debug)]
pub struct ClientRule {
    /// Matches the whole name; `None` matches any, sent or not.
    name: Option<Regex>,
    /// Matches the whole version; `None` matches any, sent or not.
    version: Option<Regex>,
    telemetry: bool,
    wildcard: Option<Wildcard>,
}

/// How "all metrics" is spelled. Java and librdkafka understand both; franz-go and Dekaf treat `*` as a prefix (KIP-714
/// fact sheet, section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wildcard {
    /// `*`, as Apache Kafka's broker sends it.
    Star,
    /// The empty prefix.
    Empty,
}

impl ClientRule {
    /// Checks the operator's input. `telemetry` says whether API keys 71 and 72 are offered; `wildcard` is `*` or
    /// empty, and `None` keeps the general setting. Errors name the pattern or the value.
    pub fn new(
        name: Option<&str>,
        version: Option<&str>,
        telemetry: bool,
        wildcard: Option<&str>,
    ) -> Result<Self, String> {
        let pattern = |key: &str, text: Option<&str>| {
            text.map(rule::anchored).transpose().map_err(|error| format!("`[[client]]`, `{key}`: {error}"))
        };
        let wildcard = match wildcard {
            None => None,
            Some("*") => Some(Wildcard::Star),
            Some("") => Some(Wildcard::Empty),
            Some(other) => return Err(format!("`[[client]]`: `wildcard` is `{other}`; write \"*\" or \"\"")),
        };
        let (name, version) = (pattern("software-name", name)?, pattern("software-version", version)?);
        Ok(Self { name, version, telemetry, wildcard })
    }

    fn matches(&self, client: &Client) -> bool {
        let fits = |pattern: &Option<Regex>, text: Option<&str>| match (pattern, text) {
            (None, _) => true,
            (Some(pattern), Some(text)) => pattern.is_match(text),
            (Some(_), None) => false,
        };
        fits(&self.name, client.software_name.as_deref()) && fits(&self.version, client.software_version.as_deref())
    }
}

/// Whether API keys 71 and 72 are offered to this client.
pub(super) fn offers_telemetry(rules: &[ClientRule], client: &Client) -> bool {
    first_match(rules, client).map_or_else(|| !aborts_on_telemetry(client), |rule| rule.telemetry)
}

/// How "all metrics" is spelled for this client, where a rule says so.
pub(super) fn wildcard(rules: &[ClientRule], client: &Client) -> Option<Wildcard> {
    first_match(rules, client)?.wildcard
}

/// librdkafka computes in 32-bit microseconds, jitter included, and overflows from about 1,789 s. It repeats
/// ApiVersions without a name where it was answered with a lower version, so a client without a name is treated as
/// librdkafka.
pub(super) fn is_librdkafka(client: &Client) -> bool {
    let Some(name) = client.software_name.as_deref() else { return true };
    let names = [Some(name), client.software_version.as_deref()];
    names.into_iter().flatten().any(|text| text.contains("rdkafka") || text.contains("confluent-kafka"))
}

fn first_match<'a>(rules: &'a [ClientRule], client: &Client) -> Option<&'a ClientRule> {
    rules.iter().find(|rule| rule.matches(client))
}

/// librdkafka 2.5.0 aborts its process on an assertion when none of its metrics matches (its issue 4826, fixed in
/// 2.5.3). Bindings send their own name, and most name the librdkafka version that they contain.
fn aborts_on_telemetry(client: &Client) -> bool {
    let (Some(name), Some(version)) = (client.software_name.as_deref(), client.software_version.as_deref()) else {
        return false;
    };
    match version.split_once("rdkafka-") {
        Some((_, inner)) => is_2_5_0(inner),
        None => (name == "librdkafka" || name.starts_with("confluent-kafka-")) && is_2_5_0(version),
    }
}

/// `2.5.0`, `v2.5.0` or `2.5.0-something`.
fn is_2_5_0(version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    version.strip_prefix("2.5.0").is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str, version: &str) -> Client {
        let text = |text: &str| (!text.is_empty()).then(|| text.into());
        Client { software_name: text(name), software_version: text(version), ..Client::default() }
    }

    #[test]
    fn clients_that_abort_on_telemetry_are_recognised_by_name_and_version() {
        for (name, version) in [
            ("librdkafka", "2.5.0"),
            ("confluent-kafka-python", "2.5.0-rdkafka-2.5.0"),
            ("confluent-kafka-python", "2.5.1-rdkafka-2.5.0"),
            ("confluent-kafka-dotnet", "2.5.0"),
            ("confluent-kafka-go", "v2.5.0-librdkafka-2.5.0"),
        ] {
            assert!(!offers_telemetry(&[], &client(name, version)), "{name} {version}");
        }
        for (name, version) in [
            ("librdkafka", "2.5.3"),
            ("librdkafka", "2.50.0"),
            ("librdkafka", "12.5.0"),
            ("librdkafka", "2.5.0.1"),
            ("confluent-kafka-python", "2.5.0-rdkafka-2.5.3"),
            ("apache-kafka-java", "2.5.0"),
            ("librdkafka", ""),
            ("", ""),
        ] {
            assert!(offers_telemetry(&[], &client(name, version)), "{name} {version}");
        }
    }

    #[test]
    fn configured_rules_precede_built_in_ones_and_the_first_match_counts() {
        let row = |name, telemetry, wildcard| ClientRule::new(name, None, telemetry, wildcard).expect("a valid rule");
        let rows = [row(Some("librdkafka"), true, Some("*")), row(Some("lib.*|kgo"), false, Some(""))];
        assert!(offers_telemetry(&rows, &client("librdkafka", "2.5.0")));
        assert!(!offers_telemetry(&rows, &client("kgo", "1.19")));
        assert!(offers_telemetry(&rows, &client("", "")), "a name that was not sent matches nothing");
        assert_eq!(wildcard(&rows, &client("librdkafka", "1")), Some(Wildcard::Star));
        assert_eq!(wildcard(&rows, &client("kgo", "1")), Some(Wildcard::Empty));
        assert_eq!(wildcard(&rows, &client("other", "1")), None);
        assert!(!offers_telemetry(&[row(None, false, None)], &client("", "")), "no pattern matches every client");
    }

    #[test]
    fn errors_in_a_rule_are_named() {
        let error = |name, wildcard| ClientRule::new(name, None, true, wildcard).expect_err("a mistake");
        assert!(error(Some("("), None).contains("software-name"));
        assert!(error(None, Some("all")).contains("`all`"));
    }
}
