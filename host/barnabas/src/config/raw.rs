//! The configuration file, key by key, with every default.
//!
//! Unknown keys are rejected. [`Config`](super::Config) is the resolved form; only the conversion validates values.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::admission::{RawClientRule, RawConnectionLimits, RawQuota, RawSourceLimits};
pub use super::nodes::RawNode;
use super::sasl::RawSasl;
pub use super::transport::{RawClientAuth, RawProxyProtocol, RawTls};
use barnabas_base::units::{ByteSize, HumanDuration};
use barnabas_pipeline::catalogue::STANDARD_METRICS;

/// The whole file. An empty one is valid.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawConfig {
    /// Kafka node id of this host.
    pub node_id: i32,
    /// Kafka cluster id: the same on every host behind one address.
    pub cluster_id: String,
    /// Directory of `<name>.toml` manifests. Relative paths are relative to the file.
    pub plugins_dir: PathBuf,
    /// Directory of the host's own data: artifacts, compiled code, the embedded store, the audit log, the admin
    /// endpoint's token and socket.
    pub data_dir: PathBuf,
    /// Store nothing on disk: all of that is in memory and lost when the host stops, and `data-dir` has no effect. The
    /// admin socket then exists only if `admin.socket` is set, and there is no token for TCP.
    pub ephemeral: bool,
    /// `cumulative` or `delta`: the temporality that is requested from every client.
    pub temporality: RawTemporality,
    /// This host belongs to a fleet: only the subscriptions in the files count, and none can be altered by request.
    pub fleet: bool,
    /// Principals such as `User:alice` that may describe and alter subscriptions with Kafka's tools. If absent, every
    /// client may, unless a listener requires authentication: then none may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admins: Option<Vec<String>>,
    /// How often a client without a matching subscription asks again, and so how long a new subscription takes to reach
    /// it.
    pub idle_poll: HumanDuration,
    /// Whether intervals above five minutes have an effect, up to an hour (librdkafka: 1,700 s).
    pub long_intervals: bool,
    /// Log format and level.
    pub log: LogConfig,
    /// Admin endpoint.
    pub admin: RawAdmin,
    /// Metrics of this host.
    pub metrics: RawMetrics,
    /// Bounds.
    pub limits: RawLimits,
    /// Pushes that are kept for trials of candidates.
    pub recent_pushes: RawRecentPushes,
    /// Which attributes of an OTLP resource identify its sender.
    pub otlp_identity: RawOtlpIdentity,
    /// Listeners.
    #[serde(rename = "listener")]
    pub listeners: Vec<RawListener>,
    /// All hosts behind the same address.
    #[serde(rename = "node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<RawNode>,
    /// The metrics that clients push.
    #[serde(rename = "subscription")]
    pub subscriptions: Vec<RawSubscription>,
    /// Limits of single principals.
    #[serde(rename = "quota", skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<RawQuota>,
    /// Rules for clients by their software.
    #[serde(rename = "client", skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<RawClientRule>,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawMetrics {
    /// Whether there are series of single client instances, by `client_instance_id`: as many as `limits.clients`.
    pub per_client: bool,
}

/// Temporality of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawTemporality {
    /// Running totals: a lost push reduces resolution and not correctness.
    Cumulative,
    /// Differences to the previous push.
    Delta,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogConfig {
    /// The format.
    pub format: LogFormat,
    /// A level, or directives such as `info,barnabas::listener=debug`.
    pub level: String,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawAdmin {
    /// The address of `/metrics`, `/healthz` and `/readyz`, and of `/v1/` for requests with the token.
    pub bind: SocketAddr,
    /// Allowed host names, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The Unix socket for the host's own user; default `admin.sock` in `data-dir`, and `""` disables it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawLimits {
    /// The most bytes of a push on the wire; sent to clients (`TelemetryMaxBytes`).
    pub push_bytes: ByteSize,
    /// The most bytes of a decompressed push.
    pub decompressed_bytes: ByteSize,
    /// The most decompressed bytes per compressed byte, once more than 1 MiB has been decompressed.
    pub decompression_ratio: u32,
    /// The most client instances that are remembered.
    pub clients: usize,
    /// The most connections of each listener.
    pub connections: usize,
    /// The most bytes of requests being read and answered, over all connections.
    pub request_bytes: ByteSize,
    /// A connection without a request for this long is closed.
    pub idle: HumanDuration,
    /// A request that takes longer than this from its first to its last byte closes its connection.
    pub slow_request: HumanDuration,
    /// How long shutdown waits for answers, queues and receivers.
    pub drain: HumanDuration,
    /// Limits of one connection per minute.
    pub connection: RawConnectionLimits,
    /// Limits of one source per minute.
    pub source: RawSourceLimits,
}

/// `[recent-pushes]`: real pushes for the trial of a candidate before it serves; without any, recorded samples are
/// used.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawRecentPushes {
    /// The most pushes that are kept; 0 keeps none.
    pub keep: usize,
    /// Older pushes are removed.
    pub age: HumanDuration,
    /// Also store them in a file of mode 0600 in the data directory, to survive a restart.
    pub on_disk: bool,
}

/// `[otlp-identity]`: resource attributes; the first one present is used.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawOtlpIdentity {
    /// A client instance id as text.
    pub client_instance_id: Vec<String>,
    /// The client id.
    pub client_id: Vec<String>,
    /// Name of the client's software.
    pub software_name: Vec<String>,
    /// Its version.
    pub software_version: Vec<String>,
}

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerProtocol {
    /// Kafka's protocol, without TLS or SASL.
    KafkaPlaintext,
    /// With SASL, without TLS.
    KafkaSaslPlaintext,
    /// With SASL and TLS.
    KafkaSaslTls,
    /// Kafka's protocol over TLS, without SASL.
    KafkaTls,
    /// `POST /v1/metrics`.
    OtlpHttp,
}

/// `[[listener]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawListener {
    /// Unique.
    pub name: String,
    /// The protocol.
    pub protocol: ListenerProtocol,
    /// The address to listen on.
    pub bind: SocketAddr,
    /// Kafka: the `host:port` to advertise. Default: the local address that the connection arrived on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertised: Option<String>,
    /// Kafka with SASL: how clients authenticate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<RawSasl>,
    /// Kafka: certificates, for the protocols with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RawTls>,
    /// Kafka: load balancers in front that pass the client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<RawProxyProtocol>,
}

/// `[[subscription]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawSubscription {
    /// Unique.
    pub name: String,
    /// Prefixes of metric names; `["*"]` matches all.
    pub metrics: Vec<String>,
    /// Push interval.
    #[serde(default = "five_minutes")]
    pub interval: HumanDuration,
    /// Key = regular expression; all must match.
    #[serde(rename = "match", default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub matches: std::collections::BTreeMap<String, String>,
}

fn five_minutes() -> HumanDuration {
    seconds(300)
}

const fn seconds(n: u64) -> HumanDuration {
    HumanDuration(Duration::from_secs(n))
}

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            node_id: 1,
            cluster_id: "barnabas".into(),
            plugins_dir: "plugins.d".into(),
            data_dir: "data".into(),
            ephemeral: false,
            temporality: RawTemporality::Cumulative,
            fleet: false,
            admins: None,
            idle_poll: seconds(60),
            long_intervals: false,
            log: LogConfig::default(),
            admin: RawAdmin::default(),
            metrics: RawMetrics::default(),
            limits: RawLimits::default(),
            recent_pushes: RawRecentPushes::default(),
            otlp_identity: RawOtlpIdentity::default(),
            listeners: vec![
                RawListener {
                    name: "kafka".into(),
                    protocol: ListenerProtocol::KafkaPlaintext,
                    bind: loopback(9092),
                    advertised: None,
                    sasl: None,
                    tls: None,
                    proxy_protocol: None,
                },
                RawListener {
                    name: "otlp".into(),
                    protocol: ListenerProtocol::OtlpHttp,
                    bind: loopback(4318),
                    advertised: None,
                    sasl: None,
                    tls: None,
                    proxy_protocol: None,
                },
            ],
            nodes: Vec::new(),
            subscriptions: vec![RawSubscription {
                name: "standard".into(),
                metrics: STANDARD_METRICS.map(|metric| metric.name.to_owned()).into(),
                interval: seconds(60),
                matches: std::collections::BTreeMap::new(),
            }],
            quotas: Vec::new(),
            clients: Vec::new(),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { bind: loopback(9464), hosts: Vec::new(), socket: None }
    }
}

impl Default for RawRecentPushes {
    fn default() -> Self {
        Self { keep: 0, age: seconds(600), on_disk: false }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        Self {
            push_bytes: ByteSize(1 << 20),
            decompressed_bytes: ByteSize(16 << 20),
            decompression_ratio: 200,
            clients: 16_384,
            connections: 10_000,
            request_bytes: ByteSize(256 << 20),
            idle: seconds(600),
            slow_request: seconds(30),
            drain: seconds(10),
            connection: RawConnectionLimits::default(),
            source: RawSourceLimits::default(),
        }
    }
}

impl Default for RawOtlpIdentity {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            client_instance_id: list(&["client_instance_id", "service.instance.id"]),
            client_id: list(&["client_id"]),
            software_name: list(&["client_software_name", "telemetry.sdk.name"]),
            software_version: list(&["client_software_version", "telemetry.sdk.version"]),
        }
    }
}
