//! The configuration of clients: quotas, rules by software, intervals; and its validation.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::raw::{RawConfig, RawTemporality};
use barnabas_base::units::ByteSize;
use barnabas_ingress::kafka::ANONYMOUS;
use barnabas_pipeline::admission;

/// The longest interval that has an effect unless `long-intervals` is set, as in Kafka's own broker.
const CUSTOMARY_MAX: Duration = Duration::from_secs(300);
/// One client may match every subscription, and librdkafka cannot read a response with more.
const PREFIXES: usize = 1_000;
const IDLE_POLL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=CUSTOMARY_MAX;

/// `[limits.connection]`: limits of one connection per minute. A minute's worth may arrive in a burst.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawConnectionLimits {
    /// Client instances that were unknown before.
    pub new_clients: u32,
    /// Pushes.
    pub pushes: u32,
}

/// `[limits.source]`: limits of one source per minute: a principal, or else an IP address (IPv6: its first 64 bits).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawSourceLimits {
    /// Client instances that were unknown before.
    pub new_clients: u32,
    /// Pushes.
    pub pushes: u32,
    /// Bytes of pushes on the wire; unlimited if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_bytes: Option<ByteSize>,
}

/// `[[quota]]`: limits of one principal instead of `[limits.source]`, which applies to absent keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawQuota {
    /// `User:name`.
    pub principal: String,
    /// Client instances that were unknown before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_clients: Option<u32>,
    /// Pushes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushes: Option<u32>,
    /// Bytes of pushes on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_bytes: Option<ByteSize>,
}

/// `[[client]]`: a rule for clients with this software. The first match applies, before the built-in rules.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawClientRule {
    /// Regular expression for the whole name; any name if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_name: Option<String>,
    /// Regular expression for the whole version; any version if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software_version: Option<String>,
    /// Whether telemetry is offered to these clients.
    #[serde(default = "default_true")]
    pub telemetry: bool,
    /// How "all metrics" is sent to these clients: `"*"` or `""`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wildcard: Option<String>,
}

fn default_true() -> bool {
    true
}

impl Default for RawConnectionLimits {
    fn default() -> Self {
        let rates = admission::Quotas::default().connection;
        Self { new_clients: rates.new_clients, pushes: rates.pushes }
    }
}

impl Default for RawSourceLimits {
    fn default() -> Self {
        let rates = admission::Quotas::default().source;
        Self { new_clients: rates.new_clients, pushes: rates.pushes, push_bytes: None }
    }
}

/// The configuration of admission.
pub(super) fn resolve(written: &RawConfig) -> Result<admission::AdmissionConfig> {
    let rules = written.subscriptions.iter().map(|subscription| rule(written, subscription));
    let clients = written.clients.iter().map(|row| {
        let (name, version) = (row.software_name.as_deref(), row.software_version.as_deref());
        admission::ClientRule::new(name, version, row.telemetry, row.wildcard.as_deref()).map_err(anyhow::Error::msg)
    });
    ensure!(
        IDLE_POLL.contains(&written.idle_poll.0),
        "`idle-poll` is {}: it must be between 1s and 5m",
        written.idle_poll
    );
    ensure!(written.limits.clients > 0, "`limits.clients` is 0: it must be at least 1");
    validate_prefix_count(written)?;
    Ok(admission::AdmissionConfig {
        subscriptions: rules.collect::<Result<_>>()?,
        clients: clients.collect::<Result<_>>()?,
        quotas: quotas(written)?,
        idle_poll: written.idle_poll.0,
        delta: written.temporality == RawTemporality::Delta,
        max_wire_bytes: u32::try_from(written.limits.push_bytes.0).context("`limits.push-bytes` is above 4 GiB")?,
        capacity: written.limits.clients,
        long_intervals: written.long_intervals,
        // Every client interprets the empty prefix as all metrics; franz-go and Dekaf interpret `*` as a name.
        all_as_empty_prefix: true,
    })
}

fn validate_prefix_count(written: &RawConfig) -> Result<()> {
    let all = written.subscriptions.iter().flat_map(|subscription| &subscription.metrics);
    let distinct = all.collect::<BTreeSet<_>>().len();
    ensure!(
        distinct <= PREFIXES,
        "all `[[subscription]]` together have {distinct} different prefixes in `metrics`; clients can read at most \
         {PREFIXES}: write shorter ones, each of which matches more metrics"
    );
    Ok(())
}

fn rule(written: &RawConfig, subscription: &super::raw::RawSubscription) -> Result<admission::SubscriptionRule> {
    // As with Kafka's own broker, clients would still push every five minutes.
    ensure!(
        written.long_intervals || subscription.interval.0 <= CUSTOMARY_MAX,
        "subscription `{}`: `interval` is {}: the maximum is 5m, unless `long-intervals` is true",
        subscription.name,
        subscription.interval
    );
    let matches: Vec<_> = subscription.matches.clone().into_iter().collect();
    let interval = u64::try_from(subscription.interval.0.as_millis()).unwrap_or(u64::MAX);
    admission::SubscriptionRule::new(&subscription.name, subscription.metrics.clone(), Some(interval), &matches)
        .map_err(anyhow::Error::msg)
}

fn quotas(written: &RawConfig) -> Result<admission::Quotas> {
    let (of_connection, of_source) = (&written.limits.connection, &written.limits.source);
    let connection =
        admission::Rates { new_clients: of_connection.new_clients, pushes: of_connection.pushes, push_bytes: None };
    let source = admission::Rates {
        new_clients: of_source.new_clients,
        pushes: of_source.pushes,
        push_bytes: of_source.push_bytes.map(|size| size.0 as u64),
    };
    let mut principals = HashMap::new();
    for quota in &written.quotas {
        let rates = admission::Rates {
            new_clients: quota.new_clients.unwrap_or(source.new_clients),
            pushes: quota.pushes.unwrap_or(source.pushes),
            push_bytes: quota.push_bytes.map(|size| size.0 as u64).or(source.push_bytes),
        };
        validate_rates(&format!("quota of `{}`", quota.principal), rates)?;
        validate_principal(&quota.principal)?;
        ensure!(
            principals.insert(quota.principal.as_str().into(), rates).is_none(),
            "two `[[quota]]` are for `{}`: remove one",
            quota.principal
        );
    }
    validate_rates("limits.connection", connection)?;
    validate_rates("limits.source", source)?;
    Ok(admission::Quotas { connection, source, principals })
}

/// No client has another kind of principal, so the quota would have no effect.
fn validate_principal(principal: &str) -> Result<()> {
    ensure!(
        principal.strip_prefix("User:").is_some_and(|name| !name.is_empty()),
        "`[[quota]]` has `{principal}`: write principals as Kafka does, for example \"User:alice\""
    );
    ensure!(
        principal != ANONYMOUS,
        "`[[quota]]` has `{ANONYMOUS}`: unauthenticated clients are limited by address; use `limits.source`"
    );
    Ok(())
}

/// A rate of 0 would stop clients in a way that looks like an error.
fn validate_rates(place: &str, rates: admission::Rates) -> Result<()> {
    let named = [
        ("new-clients", u64::from(rates.new_clients)),
        ("pushes", rates.pushes.into()),
        ("push-bytes", rates.push_bytes.unwrap_or(1)),
    ];
    for (key, rate) in named {
        ensure!(rate > 0, "{place}: `{key}` is 0: everything would be refused; write 1 or more");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use barnabas_base::messages;

    fn resolved(text: &str) -> Result<admission::AdmissionConfig> {
        resolve(&messages::parse_toml(Path::new("b.toml"), text)?)
    }

    fn error(text: &str) -> String {
        resolved(text).expect_err("a mistake").to_string()
    }

    #[test]
    fn all_of_it_is_read() {
        let config = resolved(
            "idle-poll = \"30s\"\nlong-intervals = true\n[limits.connection]\npushes = 7\n[limits.source]\n\
             push-bytes = \"1MiB\"\n[[quota]]\nprincipal = \"User:big\"\npushes = 9\n[[client]]\n\
             software-name = \"lib.*\"\ntelemetry = false\n[[subscription]]\nname = \"a\"\nmetrics = [\"*\"]\n\
             interval = \"1h\"\n",
        );
        let config = config.expect("a sound configuration");
        let defaults = admission::Quotas::default();
        assert_eq!((config.idle_poll, config.long_intervals), (Duration::from_secs(30), true));
        assert_eq!(config.quotas.connection, admission::Rates { pushes: 7, ..defaults.connection });
        assert_eq!(config.quotas.source, admission::Rates { push_bytes: Some(1 << 20), ..defaults.source });
        let big = admission::Rates { pushes: 9, ..config.quotas.source };
        assert_eq!(config.quotas.principals.get("User:big"), Some(&big));
        assert_eq!((config.clients.len(), config.subscriptions.len()), (1, 1));
    }

    #[test]
    fn idle_poll_obeyed_and_violated() {
        for text in ["1s", "60s", "5m"] {
            assert!(resolved(&format!("idle-poll = \"{text}\"")).is_ok(), "{text}");
        }
        for text in ["999ms", "0s", "301s"] {
            assert!(error(&format!("idle-poll = \"{text}\"")).contains("`idle-poll` is"), "{text}");
        }
    }

    #[test]
    fn long_intervals_obeyed_and_violated() {
        let subscription = "[[subscription]]\nname = \"a\"\nmetrics = []\ninterval = \"301s\"\n";
        assert!(error(subscription).contains("long-intervals"));
        assert!(resolved(&format!("long-intervals = true\n{subscription}")).is_ok());
        assert!(error(&format!("long-intervals = true\n{}", subscription.replace("301s", "2h"))).contains("3600000"));
    }

    #[test]
    fn clients_obeyed_and_violated() {
        assert_eq!(resolved("[limits]\nclients = 1").expect("one is enough").capacity, 1);
        assert!(error("[limits]\nclients = 0").contains("`limits.clients` is 0"));
    }

    /// Two subscriptions that overlap by one prefix and have this many prefixes together.
    fn prefixes(count: usize) -> String {
        let table = |name: &str, range: std::ops::Range<usize>| {
            let metrics: Vec<_> = range.map(|n| format!("\"p{n}.\"")).collect();
            format!("[[subscription]]\nname = \"{name}\"\nmetrics = [{}]\ninterval = \"1m\"\n", metrics.join(","))
        };
        table("a", 0..count - 1) + &table("b", count - 2..count)
    }

    #[test]
    fn prefixes_obeyed() {
        assert!(resolved(&prefixes(1_000)).is_ok());
    }

    #[test]
    fn prefixes_violated() {
        let error = error(&prefixes(1_001));
        assert!(error.contains("1001 different prefixes") && error.contains("at most 1000"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        assert!(error("[limits.connection]\npushes = 0").contains("limits.connection: `pushes` is 0"));
        assert!(error("[[quota]]\nprincipal = \"User:a\"\nnew-clients = 0").contains("quota of `User:a`"));
        let twice = "[[quota]]\nprincipal = \"User:a\"\n[[quota]]\nprincipal = \"User:a\"\n";
        assert!(error(twice).contains("two `[[quota]]`"));
        for nobody in ["alice", "User:", "user:alice", ""] {
            let words = format!("`[[quota]]` has `{nobody}`: write principals as Kafka does");
            assert!(error(&format!("[[quota]]\nprincipal = \"{nobody}\"")).contains(&words), "{nobody}");
        }
        assert!(error("[[quota]]\nprincipal = \"User:ANONYMOUS\"").contains("use `limits.source`"));
        assert!(error("[[client]]\nsoftware-name = \"(\"").contains("software-name"));
        assert!(error("[[client]]\nwildcard = \"all\"").contains("`all`"));
    }

    #[test]
    fn what_is_printed_is_read_back() {
        let written = RawConfig {
            quotas: vec![RawQuota { principal: "User:a".into(), new_clients: Some(1), pushes: None, push_bytes: None }],
            ..RawConfig::default()
        };
        let text = crate::config::print(&written).expect("it can be written");
        let again: RawConfig = messages::parse_toml(Path::new("b.toml"), &text).expect("it can be read");
        assert_eq!(again.limits.connection.pushes, written.limits.connection.pushes);
        assert_eq!((again.quotas.len(), again.idle_poll), (1, written.idle_poll));
    }
}
