//! What an operator may say about a Kafka listener, and which of it makes no sense.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{AdminAccess, ClusterNode, ListenerTls, TrustedProxies, advertise, cluster};
use barnabas_auth::Auth;

/// One Kafka listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaListenerConfig {
    /// For logs, metrics and receivers.
    pub name: Arc<str>,
    /// Where to listen.
    pub bind: SocketAddr,
    /// Host and port that clients are told; `None` tells each the local address that its connection arrived on.
    pub advertised: Option<(String, u16)>,
    /// Kafka node id: each host's own.
    pub node_id: i32,
    /// Kafka cluster id: the same on all hosts behind one name.
    pub cluster_id: Arc<str>,
    /// All hosts behind the same address, this one perhaps among them: clients are told of each.
    pub nodes: Vec<ClusterNode>,
    /// TLS, where it is spoken.
    pub tls: Option<ListenerTls>,
    /// Load balancers that tell by the PROXY protocol who the client is.
    pub proxies: Option<TrustedProxies>,
    /// Who may look at subscriptions and change them.
    pub access: AdminAccess,
    /// How clients prove who they are; `None` asks for nothing.
    pub auth: Option<Arc<Auth>>,
    /// Most bytes of a request frame. A longer push is read past and answered TELEMETRY_TOO_LARGE.
    pub max_frame: usize,
    /// Most connections at a time.
    pub max_connections: usize,
    /// How long a connection may be silent between requests: five minutes are normal between pushes.
    pub idle: Duration,
    /// How long a frame may take from its first byte to its last, and an answer to be taken.
    pub slow_frame: Duration,
    /// How long all connections together may take to end at shutdown.
    pub drain: Duration,
}

impl KafkaListenerConfig {
    /// A listener with everything else at its default.
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

    /// What is wrong with it, in one sentence.
    pub fn check(&self) -> Result<(), String> {
        let refuse = |why: String| Err(format!("listener `{}`: {why}", self.name));
        if self.name.is_empty() {
            return Err(format!("the listener on {} has no name; give it one", self.bind));
        }
        if self.node_id < 0 {
            return refuse(format!("node_id is {}; clients push only to nodes of 0 and above", self.node_id));
        }
        if self.cluster_id.is_empty() || self.cluster_id.len() > 255 {
            return refuse("cluster_id must have 1 to 255 bytes".into());
        }
        if !(1024..=64 << 20).contains(&self.max_frame) {
            return refuse(format!("max_frame is {} bytes; it must be between 1 KiB and 64 MiB", self.max_frame));
        }
        if self.max_connections == 0 {
            return refuse("max_connections is 0; it must let at least one in".into());
        }
        if self.idle.is_zero() || self.slow_frame.is_zero() {
            return refuse("idle and slow_frame must be longer than nothing".into());
        }
        if let Some((host, port)) = &self.advertised {
            advertise::check(host, *port, self.bind).or_else(refuse)?;
        }
        cluster::check(self).or_else(refuse)?;
        self.tls.as_ref().map_or(Ok(()), ListenerTls::check).or_else(refuse)
    }

    /// What clients will be told as address, for people.
    pub fn describe_advertised(&self) -> String {
        let own = match cluster::own_address(self) {
            Some((host, port)) => format!("{host}:{port}"),
            None if self.bind.ip().is_unspecified() => "the local address that each connection arrives on".into(),
            None => self.bind.to_string(),
        };
        let others = self.nodes.iter().filter(|node| node.id != self.node_id);
        others.fold(own, |told, ClusterNode { id, host, port }| format!("{told}, and of node {id} at {host}:{port}"))
    }
}
