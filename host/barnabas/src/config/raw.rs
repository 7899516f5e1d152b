//! What was written: the configuration file, key by key, with every default.
//!
//! Unknown keys are refused. [`Config`](super::Config) is what is meant; the conversion is the only place that refuses
//! values.

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
    /// Directory of what the host keeps: artifacts, compiled code, the embedded store, the audit log, the admin
    /// endpoint's token and socket.
    pub data_dir: PathBuf,
    /// Keep nothing on disk: all of that is in memory and lost when the host ends, and `data-dir` has no effect. The
    /// admin socket is then only where `admin.socket` says, and there is no token for TCP.
    pub ephemeral: bool,
    /// `cumulative` or `delta`: what every client is asked for.
    pub temporality: RawTemporality,
    /// This host is one of a fleet: the files' subscriptions are all that counts, and none is altered over the wire.
    pub fleet: bool,
    /// Who may look at subscriptions and change them with Kafka's tools: principals such as `User:alice`. Without it
    /// everybody may, unless a listener authenticates: then nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admins: Option<Vec<String>>,
    /// After how long a client that no subscription matches asks again: a new subscription reaches it so late.
    pub idle_poll: HumanDuration,
    /// Let intervals above five minutes take effect, up to an hour (librdkafka: 1,700 s).
    pub long_intervals: bool,
    /// Log format and level.
    pub log: LogConfig,
    /// Admin endpoint.
    pub admin: RawAdmin,
    /// Metrics of this host.
    pub metrics: RawMetrics,
    /// Bounds.
    pub limits: RawLimits,
    /// Pushes kept for trying candidates on.
    pub recent_pushes: RawRecentPushes,
    /// Which attributes of an OTLP resource say who sent it.
    pub otlp_identity: RawOtlpIdentity,
    /// Ways in.
    #[serde(rename = "listener")]
    pub listeners: Vec<RawListener>,
    /// All hosts behind the same address.
    #[serde(rename = "node", skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<RawNode>,
    /// Who is asked for what.
    #[serde(rename = "subscription")]
    pub subscriptions: Vec<RawSubscription>,
    /// How much single principals may bring.
    #[serde(rename = "quota", skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<RawQuota>,
    /// What holds for clients by their software.
    #[serde(rename = "client", skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<RawClientRule>,
}

/// `[metrics]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawMetrics {
    /// Also series of single client instances, by `client_instance_id`: as many as `limits.clients`.
    pub per_client: bool,
}

/// Sums as running totals or as changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RawTemporality {
    /// Running totals: a lost push costs resolution, not truth.
    Cumulative,
    /// Changes since the push before.
    Delta,
}

/// Lines for people or for machines.
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
    /// How.
    pub format: LogFormat,
    /// A level, or directives such as `info,barnabas::listener=debug`.
    pub level: String,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawAdmin {
    /// Where `/metrics`, `/healthz` and `/readyz` answer, and to those who have the token what is under `/v1/`.
    pub bind: SocketAddr,
    /// Host names by which it may be called, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The Unix socket for the host's own user; default `admin.sock` in `data-dir`, and `""` is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawLimits {
    /// Most bytes of a push on the wire; clients are told (`TelemetryMaxBytes`).
    pub push_bytes: ByteSize,
    /// Most bytes of a push decompressed.
    pub decompressed_bytes: ByteSize,
    /// Most bytes out for each byte in, once more than 1 MiB came out.
    pub decompression_ratio: u32,
    /// Client instances remembered.
    pub clients: usize,
    /// Connections of each listener.
    pub connections: usize,
    /// Bytes of requests being read and answered, over all connections.
    pub request_bytes: ByteSize,
    /// A connection without a request for so long is closed.
    pub idle: HumanDuration,
    /// A request that takes longer from first to last byte ends its connection.
    pub slow_request: HumanDuration,
    /// How long shutdown waits for answers, queues and receivers.
    pub drain: HumanDuration,
    /// Most of one connection in a minute.
    pub connection: RawConnectionLimits,
    /// Most of one source in a minute.
    pub source: RawSourceLimits,
}

/// `[recent-pushes]`: real pushes that a candidate is tried on before it serves; without any, recorded samples.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RawRecentPushes {
    /// Most that are kept; 0 keeps none.
    pub keep: usize,
    /// Older ones are forgotten.
    pub age: HumanDuration,
    /// Also in a file of mode 0600 in the data directory, for after a restart.
    pub on_disk: bool,
}

/// `[otlp-identity]`: resource attributes, first present one wins.
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
    /// With both.
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
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// Where it listens.
    pub bind: SocketAddr,
    /// Kafka: `host:port` that clients are told. Default: the local address their connection arrived on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertised: Option<String>,
    /// Kafka with SASL: how clients prove who they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sasl: Option<RawSasl>,
    /// Kafka: certificates, for the protocols with TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<RawTls>,
    /// Kafka: load balancers in front that say who the client is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<RawProxyProtocol>,
}

/// `[[subscription]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawSubscription {
    /// Unique.
    pub name: String,
    /// Prefixes of metric names; `["*"]` is all.
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
