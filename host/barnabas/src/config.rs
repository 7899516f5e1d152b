//! The resolved configuration: validated values, with one part for each module.
//!
//! [`raw::RawConfig`] is the file's content; [`Config::resolve`] is the only conversion, and contains all validation.

pub mod admission;
mod nodes;
pub mod raw;
pub mod sasl;
mod transport;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use barnabas_base::messages;
use barnabas_ingress::subscription;
use barnabas_pipeline::decode;
use barnabas_pipeline::decode::IdentityRule;
use barnabas_pipeline::dispatch::RecentConfig;
use raw::{ListenerProtocol, LogConfig, RawConfig, RawOtlpIdentity};

/// The name of the admin socket in the data directory, unless another path is configured.
const SOCKET: &str = "admin.sock";
/// The most pushes that are kept for trials.
const MOST_RECENT: usize = 1_000;

/// The configuration of `barnabas serve`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Kafka listeners.
    pub kafka: Vec<barnabas_ingress::kafka::KafkaListenerConfig>,
    /// OTLP/HTTP listeners.
    pub otlp: Vec<barnabas_ingress::otlp_http::OtlpHttpConfig>,
    /// Bytes of requests in flight, over all listeners.
    pub request_bytes: usize,
    /// The configuration of admission, with the file's subscriptions.
    pub admission: barnabas_pipeline::admission::AdmissionConfig,
    /// The file's subscriptions, as the subscriptions module needs them.
    pub subscriptions: subscription::SubscriptionsConfig,
    /// Whether the metrics contain series of single client instances.
    pub per_client_metrics: bool,
    /// Which resource attributes identify the sender of an OTLP push.
    pub otlp_identity: IdentityRule,
    /// Limits of decompression.
    pub decode: decode::DecodeConfig,
    /// The admin endpoint.
    pub admin: barnabas_admin::AdminConfig,
    /// Directory of manifests.
    pub plugins_dir: PathBuf,
    /// The configuration of the receivers.
    pub plugins: barnabas_lifecycle::PluginsConfig,
    /// Pushes kept for trials.
    pub recent: RecentPushesConfig,
    /// How long each stage of shutdown may take.
    pub drain: Duration,
    /// Log format and level.
    pub log: LogConfig,
}

/// Pushes that are kept for trials, and where they are stored.
#[derive(Clone, Debug)]
pub struct RecentPushesConfig {
    /// How many, and how old.
    pub config: RecentConfig,
    /// `None` keeps them only in memory.
    pub file: Option<PathBuf>,
    /// Where an earlier configuration may have stored them; `None` for a host without a data directory.
    pub stale_file: Option<PathBuf>,
}

impl Config {
    /// Reads and validates a file; without one, uses the defaults.
    pub fn load(path: Option<&Path>) -> Result<(RawConfig, Self)> {
        let mut written = match path {
            None => RawConfig::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
                messages::parse_toml(path, &text)?
            }
        };
        let base = path.and_then(Path::parent).unwrap_or(Path::new(""));
        written.plugins_dir = base.join(&written.plugins_dir);
        written.data_dir = base.join(&written.data_dir);
        written
            .listeners
            .iter_mut()
            .filter_map(|listener| listener.sasl.as_mut())
            .for_each(|sasl| sasl.resolve_paths(base));
        written.admin.socket = Some(socket(&written, base).unwrap_or_default());
        written.listeners.iter_mut().for_each(|listener| transport::resolve_paths(listener, base));
        let name = path.map_or_else(|| "the built-in configuration".into(), |p| p.display().to_string());
        let config = Self::resolve(&written).with_context(|| name)?;
        Ok((written, config))
    }

    /// Validates and converts the file's content.
    pub fn resolve(written: &RawConfig) -> Result<Self> {
        validate_unique_names("listener", written.listeners.iter().map(|l| &l.name))?;
        validate_unique_names("subscription", written.subscriptions.iter().map(|s| &s.name))?;
        ensure!(
            written.node_id >= 0,
            "`node-id` is {}: Kafka clients push only to node ids of 0 or more",
            written.node_id
        );
        ensure!(!written.cluster_id.is_empty(), "`cluster-id` is empty: set the same id on all hosts of a fleet");
        nodes::validate(written)?;
        let drain = written.limits.drain.0;
        let mut config = Self {
            kafka: resolve_listeners(written, ListenerProtocol::is_kafka, resolve_kafka)?,
            otlp: resolve_listeners(written, |protocol| !protocol.is_kafka(), resolve_otlp)?,
            request_bytes: written.limits.request_bytes.0,
            admission: self::admission::resolve(written)?,
            subscriptions: resolve_subscriptions(written),
            per_client_metrics: written.metrics.per_client,
            otlp_identity: resolve_identity(&written.otlp_identity),
            decode: decode::DecodeConfig {
                max_output: written.limits.decompressed_bytes.0,
                max_ratio: written.limits.decompression_ratio,
            },
            admin: resolve_admin(written),
            plugins_dir: written.plugins_dir.clone(),
            plugins: barnabas_lifecycle::PluginsConfig {
                dir: written.plugins_dir.clone(),
                data_dir: Some(written.data_dir.clone()),
                ..barnabas_lifecycle::PluginsConfig::default()
            },
            recent: recent(written)?,
            drain,
            log: written.log.clone(),
        };
        if written.ephemeral {
            ensure!(
                !written.recent_pushes.on_disk,
                "`recent-pushes.on-disk` and `ephemeral` are both true: an ephemeral host stores nothing on disk; remove one"
            );
            config.make_ephemeral();
        }
        Ok(config)
    }

    /// Keeps everything in memory and uses no data directory: the content of the store, the audit log and the artifacts
    /// is lost when the host stops. There is no token for the admin endpoint, and no socket except a configured one.
    pub fn make_ephemeral(&mut self) {
        let Some(data_dir) = self.plugins.data_dir.take() else { return };
        self.admin.token_file = None;
        self.admin.socket = self.admin.socket.take().filter(|socket| *socket != data_dir.join(SOCKET));
        (self.recent.file, self.recent.stale_file) = (None, None);
    }
}

fn resolve_admin(written: &RawConfig) -> barnabas_admin::AdminConfig {
    barnabas_admin::AdminConfig {
        bind: written.admin.bind,
        hosts: written.admin.hosts.clone(),
        socket: socket(written, Path::new("")),
        token_file: Some(token_file(written)),
    }
}

/// The path of the admin socket, with relative paths resolved from `base`; `None` if there is none.
fn socket(written: &RawConfig, base: &Path) -> Option<PathBuf> {
    match &written.admin.socket {
        None if written.ephemeral => None,
        None => Some(written.data_dir.join(SOCKET)),
        Some(path) if path.as_os_str().is_empty() => None,
        Some(path) => Some(base.join(path)),
    }
}

/// The path of the admin endpoint's token.
pub fn token_file(written: &RawConfig) -> PathBuf {
    written.data_dir.join("admin.token")
}

/// The configuration as TOML, which [`Config::load`] can read.
pub fn print(written: &RawConfig) -> Result<String> {
    toml::to_string(written).context("failed to print the configuration as TOML")
}

/// Names are used in metrics and messages, so they must be unique.
fn validate_unique_names<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for name in names {
        ensure!(!name.is_empty(), "a `[[{what}]]` has an empty name: add a name");
        ensure!(seen.insert(name), "two `[[{what}]]` are called `{name}`: rename one");
    }
    Ok(())
}

/// The listeners of some protocols, each resolved by `make`.
fn resolve_listeners<T>(
    written: &RawConfig,
    which: fn(ListenerProtocol) -> bool,
    make: fn(&RawConfig, &raw::RawListener) -> Result<T>,
) -> Result<Vec<T>> {
    let wanted = written.listeners.iter().filter(|l| which(l.protocol));
    wanted.map(|l| make(written, l)).collect()
}

fn resolve_kafka(
    written: &RawConfig,
    listener: &raw::RawListener,
) -> Result<barnabas_ingress::kafka::KafkaListenerConfig> {
    let limits = &written.limits;
    let config = barnabas_ingress::kafka::KafkaListenerConfig {
        name: listener.name.as_str().into(),
        bind: listener.bind,
        advertised: listener.advertised.as_deref().map(|text| host_and_port(&listener.name, text)).transpose()?,
        node_id: written.node_id,
        cluster_id: written.cluster_id.as_str().into(),
        nodes: nodes::for_listener(written, listener)?,
        tls: transport::tls(listener)?,
        proxies: transport::proxies(listener)?,
        access: sasl::access(written)?,
        auth: sasl::auth(listener)?,
        max_frame: limits.push_bytes.0.saturating_add(64 << 10),
        max_connections: limits.connections,
        idle: limits.idle.0,
        slow_frame: limits.slow_request.0,
        drain: limits.drain.0,
    };
    config.check().map_err(anyhow::Error::msg)?;
    Ok(config)
}

fn resolve_otlp(
    written: &RawConfig,
    listener: &raw::RawListener,
) -> Result<barnabas_ingress::otlp_http::OtlpHttpConfig> {
    if listener.advertised.is_some() {
        bail!(
            "listener `{}`: `advertised` is for Kafka listeners: nothing is advertised to an OTLP client; remove it",
            listener.name
        );
    }
    ensure!(
        listener.sasl.is_none(),
        "listener `{}`: `sasl` is for Kafka listeners: OTLP has no SASL; remove it",
        listener.name
    );
    transport::refuse_for_otlp(listener)?;
    let limits = &written.limits;
    Ok(barnabas_ingress::otlp_http::OtlpHttpConfig {
        name: listener.name.as_str().into(),
        bind: listener.bind,
        max_body: limits.push_bytes.0,
        max_connections: limits.connections,
        head: limits.slow_request.0,
        body: limits.slow_request.0,
        idle: limits.idle.0,
        drain: limits.drain.0,
    })
}

fn recent(written: &RawConfig) -> Result<RecentPushesConfig> {
    let resolve_recent_pushes = &written.recent_pushes;
    ensure!(
        resolve_recent_pushes.keep <= MOST_RECENT,
        "`recent-pushes.keep` is {}: the maximum is {MOST_RECENT}",
        resolve_recent_pushes.keep
    );
    let path = written.data_dir.join("recent-pushes.jsonl");
    Ok(RecentPushesConfig {
        config: RecentConfig { max_pushes: resolve_recent_pushes.keep, max_age: resolve_recent_pushes.age.0 },
        file: (resolve_recent_pushes.on_disk && resolve_recent_pushes.keep > 0).then(|| path.clone()),
        stale_file: Some(path),
    })
}

fn host_and_port(name: &str, text: &str) -> Result<(String, u16)> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) =
        parts.with_context(|| format!("listener `{name}`: `advertised` is `{text}`: write `host:port`"))?;
    Ok((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port))
}

fn resolve_identity(written: &RawOtlpIdentity) -> IdentityRule {
    IdentityRule {
        instance_id: written.client_instance_id.clone(),
        client_id: written.client_id.clone(),
        software_name: written.software_name.clone(),
        software_version: written.software_version.clone(),
    }
}

fn resolve_subscriptions(written: &RawConfig) -> subscription::SubscriptionsConfig {
    let entries = |written: &raw::RawSubscription| {
        let interval = u64::try_from(written.interval.0.as_millis()).unwrap_or(u64::MAX);
        subscription::SubscriptionsConfig::entries(&written.metrics, interval, &written.matches)
    };
    let floor = written.subscriptions.iter().map(|written| (written.name.as_str().into(), entries(written)));
    subscription::SubscriptionsConfig { fleet: written.fleet, from_file: floor.collect() }
}

/// One sentence per listener: the address that is advertised for this host.
pub fn advertised_addresses(config: &Config) -> Vec<String> {
    config.kafka.iter().map(advertised_address).collect()
}

fn advertised_address(listener: &barnabas_ingress::kafka::KafkaListenerConfig) -> String {
    format!("listener `{}` on {} advertises {}", listener.name, listener.bind, listener.describe_advertised())
}
