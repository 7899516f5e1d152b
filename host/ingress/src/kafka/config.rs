//! Configuration of a Kafka listener, and its validation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{AdminAccess, ClusterNode, ListenerTls, TrustedProxies, advertise, cluster};
use barnabas_auth::Auth;

/// Configuration of one Kafka listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaListenerConfig {
    /// Its name in logs and metrics, and for receivers.
    pub name: Arc<str>,
    /// The address to listen on.
    pub bind: SocketAddr,
    /// Host and port to advertise; `None` advertises to each client the local address that its connection arrived on.
    pub advertised: Option<(String, u16)>,
    /// Kafka node id, different on each host.
    pub node_id: i32,
    /// Kafka cluster id, the same on all hosts behind one name.
    pub cluster_id: Arc<str>,
    /// All hosts behind the same address, possibly including this one: each is advertised.
    pub nodes: Vec<ClusterNode>,
    /// TLS, if the listener uses it.
    pub tls: Option<ListenerTls>,
    /// Load balancers that pass the client's address by the PROXY protocol.
    pub proxies: Option<TrustedProxies>,
    /// Which principals may describe and alter subscriptions.
    pub access: AdminAccess,
    /// How clients authenticate; `None` requires no authentication.
    pub auth: Option<Arc<Auth>>,
    /// The most bytes of a request frame. A larger push is discarded and answered with TELEMETRY_TOO_LARGE.
    pub max_frame: usize,
    /// The most connections at the same time.
    pub max_connections: usize,
    /// How long a connection may be idle between requests: five minutes between pushes are normal.
    pub idle: Duration,
    /// How long a frame may take from its first byte to its last, and how long writing an answer may take.
    pub slow_frame: Duration,
    /// How long all connections together may take to close at shutdown.
    pub drain: Duration,
}

impl KafkaListenerConfig {
    /// A listener with the default for everything else.
    pub fn new(name: impl Into<Arc<str>>, bind: SocketAddr) -> Self {
        Self {
            name: name.into(),
            bind,
            advertised: None,
            node_id: 1,
            cluster_id: "barnabas".into(),
            nodes: Vec::new(),
            tls: None,
            proxies: None,
            access: AdminAccess::default(),
            auth: None,
            max_frame: (1 << 20) + (64 << 10),
            max_connections: 10_000,
            idle: Duration::from_secs(600),
            slow_frame: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }

    /// Validates the configuration; the error is one sentence.
    pub fn check(&self) -> Result<(), String> {
        let refuse = |why: String| Err(format!("listener `{}`: {why}", self.name));
        if self.name.is_empty() {
            return Err(format!("the listener on {} has no name; add one", self.bind));
        }
        if self.node_id < 0 {
            return refuse(format!("`node-id` is {}; clients push only to node ids of 0 or more", self.node_id));
        }
        if self.cluster_id.is_empty() || self.cluster_id.len() > 255 {
            return refuse("`cluster-id` must have 1 to 255 bytes".into());
        }
        if !(1024..=64 << 20).contains(&self.max_frame) {
            return refuse(format!(
                "the frame limit, `limits.push-bytes` plus 64 KiB, is {} bytes; it must be between 1 KiB and 64 MiB",
                self.max_frame
            ));
        }
        if self.max_connections == 0 {
            return refuse("`limits.connections` is 0; it must be at least 1".into());
        }
        if self.idle.is_zero() || self.slow_frame.is_zero() {
            return refuse("`limits.idle` and `limits.slow-request` must be longer than 0".into());
        }
        if let Some((host, port)) = &self.advertised {
            advertise::check(host, *port, self.bind).or_else(refuse)?;
        }
        cluster::check(self).or_else(refuse)?;
        self.tls.as_ref().map_or(Ok(()), ListenerTls::check).or_else(refuse)
    }

    /// The address that is advertised to clients, as text for people.
    pub fn describe_advertised(&self) -> String {
        let own = match cluster::own_address(self) {
            Some((host, port)) => format!("{host}:{port}"),
            None if self.bind.ip().is_unspecified() => "the local address that each connection arrives on".into(),
            None => self.bind.to_string(),
        };
        let others = self.nodes.iter().filter(|node| node.id != self.node_id);
        others.fold(own, |text, ClusterNode { id, host, port }| format!("{text}, and node {id} at {host}:{port}"))
    }
}
