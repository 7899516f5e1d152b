//! One configured subscription, within the bounds that KIP-714 sets.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use regex::{Regex, RegexBuilder};

use crate::push::{Client, address};
use barnabas_base::messages;

/// `interval.ms` if none is given, and for clients that no subscription matches.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
/// The largest `interval.ms`.
pub(super) const MAX_INTERVAL: Duration = Duration::from_secs(3_600);
const INTERVAL_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;
/// The size limits under which patterns are compiled, in bytes; a larger pattern is refused.
const SIZE_LIMITS: [usize; 4] = [16 << 10, 64 << 10, 256 << 10, 1 << 20];

/// A subscription: the metrics that matching clients are to push, and how often.
#[derive(Clone, Debug)]
pub struct SubscriptionRule {
    pub(super) name: String,
    pub(super) metrics: Vec<String>,
    pub(super) interval: Duration,
    /// All must match; an empty list matches every client.
    matches: Vec<(MatchKey, Regex)>,
    /// The compiled size of all patterns, in bytes.
    compiled_bytes: usize,
}

/// The fact of a client that a pattern is matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatchKey {
    /// 22 characters of base64url.
    InstanceId,
    /// `client.id`.
    ClientId,
    /// From ApiVersions.
    SoftwareName,
    /// From ApiVersions.
    SoftwareVersion,
    /// IP address, in either spelling: see [`address`].
    SourceAddress,
    /// Decimal.
    SourcePort,
}

impl SubscriptionRule {
    /// Checks the operator's input. `matches` holds pairs of key and pattern; of a repeated key the last pattern
    /// applies.
    pub fn new(
        name: &str,
        metrics: Vec<String>,
        interval_ms: Option<u64>,
        matches: &[(String, String)],
    ) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a subscription needs a name; set one".into());
        }
        let interval = interval_ms.map_or(Ok(DEFAULT_INTERVAL), |ms| interval(name, ms))?;
        let mut patterns: Vec<(MatchKey, &str)> = Vec::new();
        for (key, pattern) in matches {
            let key = key.trim().parse().map_err(|error| format!("subscription `{name}`: {error}"))?;
            // Before anything is compiled: one configuration text can hold thousands of patterns.
            patterns.retain(|(known, _)| *known != key);
            patterns.push((key, pattern.trim()));
        }
        let mut rule = Self { name: name.to_owned(), metrics, interval, matches: Vec::new(), compiled_bytes: 0 };
        for (key, pattern) in patterns {
            let compiled = compile_anchored(pattern).map_err(|error| format!("subscription `{name}`, {key}: {error}"));
            let (regex, compiled_bytes) = compiled?;
            rule.matches.push((key, regex));
            rule.compiled_bytes = rule.compiled_bytes.saturating_add(compiled_bytes);
        }
        Ok(rule)
    }

    /// About how many bytes its compiled patterns take.
    pub fn compiled_bytes(&self) -> usize {
        self.compiled_bytes
    }

    /// The operator's name for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this client is to push it. A fact that is not known matches nothing.
    pub fn matches(&self, client: &Client) -> bool {
        self.matches.iter().all(|(key, pattern)| key.matches(client, pattern))
    }
}

fn interval(name: &str, ms: u64) -> Result<Duration, String> {
    if INTERVAL_MS.contains(&ms) {
        return Ok(Duration::from_millis(ms));
    }
    let (least, most) = (INTERVAL_MS.start(), INTERVAL_MS.end());
    Err(format!("subscription `{name}`: interval.ms is {ms}; it must be from {least} to {most}"))
}

/// Matches the whole text, as Kafka's patterns do.
pub(super) fn anchored(pattern: &str) -> Result<Regex, String> {
    compile_anchored(pattern).map(|(regex, _)| regex)
}

/// As [`anchored`], with the approximate size: the regex crate does not report it, so the pattern is compiled under
/// growing limits, where all attempts but the last together cost at most a third of the last.
fn compile_anchored(pattern: &str) -> Result<(Regex, usize), String> {
    if pattern.is_empty() {
        return Err("an empty pattern matches nothing; omit the key to match every client".into());
    }
    let compile = |text: &str, limit| RegexBuilder::new(text).size_limit(limit).build();
    let invalid = |error| format!("`{pattern}` is not a valid pattern: {error}");
    // First as given, so that the error shows the operator's text; with a size limit of 0 it is parsed but not
    // compiled.
    if let Err(error @ regex::Error::Syntax(_)) = compile(pattern, 0) {
        return Err(invalid(error));
    }
    let text = format!("^(?:{pattern})$");
    let mut compiled = SIZE_LIMITS.into_iter().map(|limit| compile(&text, limit).map(|regex| (regex, limit)));
    let first = compiled.find(|compiled| !matches!(compiled, Err(regex::Error::CompiledTooBig(_))));
    first.unwrap_or(Err(regex::Error::CompiledTooBig(1 << 20))).map_err(invalid)
}

impl MatchKey {
    const ALL: [Self; 6] = [
        Self::InstanceId,
        Self::ClientId,
        Self::SoftwareName,
        Self::SoftwareVersion,
        Self::SourceAddress,
        Self::SourcePort,
    ];

    /// KIP-714's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstanceId => "client_instance_id",
            Self::ClientId => "client_id",
            Self::SoftwareName => "client_software_name",
            Self::SoftwareVersion => "client_software_version",
            Self::SourceAddress => "client_source_address",
            Self::SourcePort => "client_source_port",
        }
    }

    /// Whether the client has the fact and the pattern matches it; an address matches in either spelling.
    fn matches(self, client: &Client, pattern: &Regex) -> bool {
        let matches = |text: &Option<Arc<str>>| text.as_deref().is_some_and(|text| pattern.is_match(text));
        match self {
            Self::InstanceId => client.instance_id.is_some_and(|id| pattern.is_match(&id.to_string())),
            Self::ClientId => matches(&client.client_id),
            Self::SoftwareName => matches(&client.software_name),
            Self::SoftwareVersion => matches(&client.software_version),
            Self::SourceAddress => client.source.is_some_and(|source| address::matches(pattern, source.ip())),
            Self::SourcePort => client.source.is_some_and(|source| pattern.is_match(&source.port().to_string())),
        }
    }
}

impl std::fmt::Display for MatchKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MatchKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|key| key.as_str() == text);
        known.ok_or_else(|| {
            format!("`{text}` is not a match key; {}", messages::suggest(text, &Self::ALL.map(Self::as_str)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn rule(matches: &[(&str, &str)]) -> Result<SubscriptionRule, String> {
        let matches: Vec<_> = matches.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect();
        SubscriptionRule::new("s", vec![], None, &matches)
    }

    fn client() -> Client {
        Client {
            instance_id: Some("cBrordIqXpq0qkqcvYahPA".parse().expect("an id")),
            client_id: Some(Arc::from("billing-7")),
            software_name: Some(Arc::from("apache-kafka-java")),
            source: Some("[::1]:4711".parse().expect("an address")),
            ..Client::default()
        }
    }

    #[test]
    fn all_patterns_must_match_the_whole_fact() {
        assert!(rule(&[]).expect("a valid rule").matches(&client()));
        let yes: &[&[(&str, &str)]] = &[
            &[("client_id", "billing-.*"), ("client_source_port", "47..")],
            &[("client_instance_id", "cBrordIqXpq0qkqcvYahPA")],
            &[("client_source_address", "0:0:0:0:0:0:0:1")],
            &[("client_source_address", "::1")],
            &[(" client_id ", " a|billing-7 ")],
            &[("client_id", "never"), ("client_id", "billing-7")],
            &[("client_id", "[^=]+")],
        ];
        let no: &[&[(&str, &str)]] = &[
            &[("client_id", "billing")],
            &[("client_id", "illing-7")],
            &[("client_id", "b|7")],
            &[("client_id", ".*"), ("client_software_name", "librdkafka")],
            // The version is not known, so even `.*` does not match.
            &[("client_software_version", ".*")],
        ];
        yes.iter().for_each(|matches| assert!(rule(matches).expect("a valid rule").matches(&client()), "{matches:?}"));
        no.iter().for_each(|matches| assert!(!rule(matches).expect("a valid rule").matches(&client()), "{matches:?}"));
    }

    #[test]
    fn invalid_keys_and_patterns_are_named() {
        let error = |matches| rule(matches).expect_err("a mistake");
        assert!(error(&[("client_idd", "x")]).contains("client_source_port"));
        assert!(error(&[("client_id", "")]).contains("empty pattern"));
        assert!(error(&[("client_id", "(")]).contains("`(`"));
        // A comment that would swallow the end of the anchored pattern.
        assert!(error(&[("client_id", "(?x)a#")]).contains("client_id"));
        assert!(error(&[("client_id", "(a{1000}){1000}")]).contains("size"));
    }

    #[test]
    fn only_the_last_pattern_of_a_repeated_key_is_compiled() {
        let repeated =
            rule(&[("client_id", "("), ("client_id", "[a-z]{9000}"), (" client_id", "a")]).expect("a valid rule");
        let alone = rule(&[("client_id", "a")]).expect("a valid rule");
        assert_eq!((repeated.matches.len(), repeated.compiled_bytes), (1, alone.compiled_bytes));
        assert!(rule(&[("client_id", "[a-z]{9000}")]).expect("a valid rule").compiled_bytes > alone.compiled_bytes);
        assert!(rule(&[("client_id", "a)(b")]).is_err(), "valid only between the anchoring parentheses");
    }

    #[test]
    fn interval_limits_obeyed() {
        for (ms, seconds) in [(Some(100), 0.1), (Some(3_600_000), 3_600.0), (None, 300.0)] {
            let rule = SubscriptionRule::new("s", vec![], ms, &[]).expect("within the limits");
            assert_eq!(rule.interval.as_secs_f64(), seconds);
        }
    }

    #[test]
    fn interval_limits_violated() {
        for ms in [0, 99, 3_600_001] {
            let error = SubscriptionRule::new("s", vec![], Some(ms), &[]).expect_err("beyond the limits");
            assert!(error.contains(&ms.to_string()) && error.contains("`s`"), "{error}");
        }
    }
}
