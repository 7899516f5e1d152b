//! The Kafka door: clients that think they talk to a broker.
//!
//! In: TCP connections. Out: pushes and questions for subscriptions, to [`Intake`]. A connection's requests are
//! answered one after the other, in order. Bounded by a cap on connections (beyond it one is closed as soon as it is
//! taken, so that those who are in are served), by a cap on the frame, by the byte [`Budget`], and by timeouts for
//! idle connections, slow frames and slow readers. It closes a connection only for violations of the framing, for
//! those timeouts, and at shutdown after every request that was read has been answered: older Java clients fall
//! silent for good when a connection closes on their request. It never says that it can do what it cannot, and it
//! decides nothing about telemetry itself.

mod advertise;
mod api;
mod api_versions;
mod complaints;
mod connection;
mod find_coordinator;
mod frame;
mod metadata;
mod request;
mod session;
mod telemetry;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::event::Events;
use crate::intake::{ConnectionId, Intake};
use crate::listener::budget::Budget;
use complaints::Complaints;
use connection::{Connection, End, Presence};

/// One Kafka listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
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

impl Config {
    /// A listener with everything else at its default.
    pub fn new(name: impl Into<Arc<str>>, bind: SocketAddr) -> Self {
        Self {
            name: name.into(),
            bind,
            advertised: None,
            node_id: 1,
            cluster_id: "barnabas".into(),
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
        match &self.advertised {
            Some((host, port)) => advertise::check(host, *port, self.bind).or_else(refuse),
            None => Ok(()),
        }
    }

    /// What clients will be told as address, for people.
    pub fn tells(&self) -> String {
        match &self.advertised {
            Some((host, port)) => format!("{host}:{port}"),
            None if self.bind.ip().is_unspecified() => "the local address that each connection arrives on".into(),
            None => self.bind.to_string(),
        }
    }
}

/// Binds, and does not serve yet: connections wait in the kernel.
pub async fn bind(config: Config) -> anyhow::Result<Bound> {
    config.check().map_err(anyhow::Error::msg)?;
    let (listener, local) = open(config.bind).with_context(|| {
        format!("listener `{}` cannot bind {}; stop what holds it or choose another address", config.name, config.bind)
    })?;
    Ok(Bound { config, listener, local })
}

fn open(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(1024)?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// A listener that has its address.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    listener: TcpListener,
    local: SocketAddr,
}

/// What the connections of one listener share.
struct Shared {
    config: Config,
    intake: Arc<dyn Intake>,
    budget: Arc<Budget>,
    events: Events,
    complaints: Complaints,
}

impl Bound {
    /// Where it listens: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown`, then until every connection has been answered what it had asked, or the drain
    /// deadline. No task is left when it returns.
    pub async fn serve(
        self,
        intake: Arc<dyn Intake>,
        budget: Arc<Budget>,
        events: Events,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let complaints = Complaints::default();
        let shared = Arc::new(Shared { config: self.config, intake, budget, events, complaints });
        let (drain, draining) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tokio::select! {
            () = shutdown => {}
            () = accept(&self.listener, &shared, &mut tasks, &draining) => {}
        }
        drop(self.listener);
        drain.send_replace(true);
        end(&shared.config, tasks).await;
    }
}

/// Takes connections for ever.
async fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<()>,
    draining: &watch::Receiver<bool>,
) {
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    let mut pause = Duration::from_millis(10);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pause = Duration::from_millis(10);
                while tasks.try_join_next().is_some() {}
                let presence = Presence::enter(shared, ConnectionId::next(), peer);
                if tasks.len() >= shared.config.max_connections {
                    presence.leave(End::Full(shared.config.max_connections));
                } else {
                    tasks.spawn(serve_one(stream, presence, draining.clone()));
                }
            }
            // Most often all file descriptors are in use: it would fail again at once.
            Err(error) => {
                if let Some(unsaid) = shared.complaints.may_say() {
                    tracing::warn!(listener = %shared.config.name, %error, unsaid, "cannot take a connection");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn serve_one(stream: TcpStream, presence: Presence, draining: watch::Receiver<bool>) {
    let end = match Connection::new(stream, &presence, draining) {
        Ok(connection) => connection.converse().await,
        Err(error) => End::Lost(error),
    };
    presence.leave(end);
}

async fn end(config: &Config, mut tasks: JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(config.drain, all).await.is_err() {
        tracing::warn!(
            listener = %config.name,
            connections = tasks.len(),
            "the drain deadline is over; closing what is left"
        );
        tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
