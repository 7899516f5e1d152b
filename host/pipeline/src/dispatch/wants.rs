//! Which pushes a slot wants: patterns over facts of the client, all of which must match.

use regex::Regex;

use crate::push::{Client, Ingress, address};
use barnabas_base::messages;

/// Pairs of fact and pattern; an empty list matches everything. A fact that the ingress does not know matches no
/// pattern.
#[derive(Clone, Debug, Default)]
pub struct Wants(Vec<(WantFact, Regex)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WantFact {
    InstanceId,
    ClientId,
    SoftwareName,
    SoftwareVersion,
    SourceAddress,
    Principal,
    Ingress,
}

const FACTS: [(&str, WantFact); 7] = [
    ("client_instance_id", WantFact::InstanceId),
    ("client_id", WantFact::ClientId),
    ("client_software_name", WantFact::SoftwareName),
    ("client_software_version", WantFact::SoftwareVersion),
    ("client_source_address", WantFact::SourceAddress),
    ("principal", WantFact::Principal),
    ("ingress", WantFact::Ingress),
];

impl Wants {
    /// From the configured pairs. A pattern matches the whole value, as in KIP-714 subscriptions.
    pub fn new(patterns: Vec<(String, String)>) -> Result<Self, String> {
        patterns
            .iter()
            .map(|(name, pattern)| Ok((parse_fact(name)?, anchored(name, pattern)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The names of the facts that a pattern can match.
    #[cfg(any(test, feature = "testing"))]
    pub fn facts() -> impl Iterator<Item = &'static str> {
        FACTS.iter().map(|(name, _)| *name)
    }

    /// Whether all patterns match. An address matches in either spelling: see [`address`].
    pub fn matches(&self, client: &Client, ingress: Ingress) -> bool {
        self.0.iter().all(|(fact, pattern)| match fact {
            WantFact::Ingress => pattern.is_match(ingress.as_str()),
            WantFact::InstanceId => client.instance_id.is_some_and(|id| pattern.is_match(&id.to_string())),
            WantFact::ClientId => client.client_id.as_deref().is_some_and(|text| pattern.is_match(text)),
            WantFact::SoftwareName => client.software_name.as_deref().is_some_and(|text| pattern.is_match(text)),
            WantFact::SoftwareVersion => client.software_version.as_deref().is_some_and(|text| pattern.is_match(text)),
            WantFact::SourceAddress => client.source.is_some_and(|at| address::matches(pattern, at.ip())),
            WantFact::Principal => client.principal.as_deref().is_some_and(|text| pattern.is_match(text)),
        })
    }
}

fn parse_fact(name: &str) -> Result<WantFact, String> {
    if let Some((_, fact)) = FACTS.iter().find(|(known, _)| *known == name) {
        return Ok(*fact);
    }
    Err(format!("unknown fact `{name}`; {}", messages::suggest(name, &FACTS.map(|(known, _)| known))))
}

fn anchored(name: &str, pattern: &str) -> Result<Regex, String> {
    // Compiled without anchors first, so that a pattern such as `a)(b` cannot close the anchoring group.
    Regex::new(pattern)
        .and_then(|_| Regex::new(&format!("^(?:{pattern})$")))
        .map_err(|error| format!("the pattern `{pattern}` for `{name}` is not a regular expression: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use barnabas_base::InstanceId;

    fn wants(written: &[(&str, &str)]) -> Result<Wants, String> {
        Wants::new(written.iter().map(|(name, pattern)| ((*name).into(), (*pattern).into())).collect())
    }

    #[test]
    fn all_patterns_must_match_the_whole_value() {
        let client = Client {
            client_id: Some("orders-7".into()),
            source: Some("[::1]:9".parse().expect("an address")),
            ..Client::default()
        };
        let kafka = Ingress::Kafka;
        assert!(Wants::default().matches(&client, kafka), "an empty list matches everything");
        assert!(wants(&[("client_id", "orders-.*"), ("ingress", "kafka")]).unwrap().matches(&client, kafka));
        assert!(!wants(&[("client_id", "orders")]).unwrap().matches(&client, kafka), "a prefix is not the whole value");
        assert!(!wants(&[("client_id", "orders-7|x"), ("ingress", "otlp-http")]).unwrap().matches(&client, kafka));
        for spelling in ["::1", "0:0:0:0:0:0:0:1"] {
            assert!(wants(&[("client_source_address", spelling)]).unwrap().matches(&client, kafka), "{spelling}");
        }
    }

    #[test]
    fn an_unknown_fact_matches_no_pattern() {
        let unknown = Client::default();
        for name in ["client_instance_id", "client_id", "client_software_name", "principal", "client_source_address"] {
            assert!(!wants(&[(name, ".*")]).unwrap().matches(&unknown, Ingress::Kafka), "{name}");
        }
        let known = Client { instance_id: Some(InstanceId::ONE), ..Client::default() };
        assert!(wants(&[("client_instance_id", "A+Q")]).unwrap().matches(&known, Ingress::Kafka));
    }

    #[test]
    fn an_unknown_fact_or_an_invalid_pattern_is_refused() {
        assert_eq!(
            wants(&[("clientid", "x")]).unwrap_err(),
            "unknown fact `clientid`; did you mean `client_id`? Known are `client_instance_id`, `client_id`, \
             `client_software_name`, `client_software_version`, `client_source_address`, `principal`, `ingress`"
        );
        assert!(wants(&[("colour", "x")]).unwrap_err().starts_with("unknown fact `colour`; known are `client_"));
        assert!(wants(&[("client_id", "a)(b")]).unwrap_err().contains("`a)(b`"));
    }
}
