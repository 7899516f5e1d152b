//! The Kafka door: clients that think they talk to a broker.
//!
//! In: TCP connections, with TLS or a PROXY header where these are asked for. Out: pushes and questions for
//! subscriptions, to [`Intake`]; what administrators ask, to [`Subscriptions`]. A connection's requests are
//! answered one after the other, in order. Bounded by a cap on connections (beyond it one is closed as soon as it is
//! taken, so that those who are in are served) of which no source has too many, by a cap on the frame, by the byte
//! [`Budget`], and by timeouts for idle connections, slow frames and slow readers, and for who has to prove itself. It closes a connection only for violations of the framing, for
//! those timeouts, and at shutdown after every request that was read has been answered: older Java clients fall
//! silent for good when a connection closes on their request. It never says that it can do what it cannot, and it
//! decides nothing about telemetry itself.

mod access;
mod advertise;
mod alter_configs;
mod api_versions;
mod cluster;
mod config;
mod connection;
mod describe_cluster;
mod describe_configs;
mod desk;
mod find_coordinator;
mod frame;
mod gate;
mod list;
mod list_resources;
mod metadata;
mod opening;
mod presence;
mod proxy;
mod request;
mod rhythm;
mod sasl;
mod session;
mod slots;
mod stream;
mod telemetry;
mod tls;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::event::Events;
use crate::intake::Intake;
use crate::listener::budget::Budget;
use crate::listener::complaints::Complaints;
use crate::listener::protocol::{self, Protocol, WrongProtocol};
use crate::push::ConnectionId;
use crate::subscription::Subscriptions;
use connection::Connection;
use presence::{End, Presence};
use slots::Slots;
use tls::Certificates;

pub use access::{ANONYMOUS, Access};
pub use cluster::{MOST_NODES, Node};
pub use config::Config;
pub use proxy::Proxies;
#[cfg(test)]
pub(crate) use session::error_code;
pub use tls::{ClientAuth, Tls};

/// Binds, and does not serve yet: connections wait in the kernel.
pub async fn bind(config: Config) -> anyhow::Result<Bound> {
    config.check().map_err(anyhow::Error::msg)?;
    if let Some(auth) = &config.auth {
        auth.ready(SystemTime::now()).map_err(|why| anyhow::anyhow!("listener `{}`: {why}", config.name))?;
    }
    let certificates = certificates(&config)?;
    let (listener, local) = open(config.bind).with_context(|| {
        format!("listener `{}` cannot bind {}; stop what holds it or choose another address", config.name, config.bind)
    })?;
    Ok(Bound { config, certificates, listener, local })
}

fn certificates(config: &Config) -> anyhow::Result<Option<Arc<Certificates>>> {
    let load = |tls| Certificates::load(config.name.clone(), tls);
    let loaded = config.tls.clone().map(load).transpose();
    loaded.map(|loaded| loaded.map(Arc::new)).map_err(|why| anyhow::anyhow!("listener `{}`: {why}", config.name))
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
    certificates: Option<Arc<Certificates>>,
    listener: TcpListener,
    local: SocketAddr,
}

/// What the connections of one listener share.
struct Shared {
    config: Config,
    /// Where it listens.
    local: SocketAddr,
    /// Present where TLS is spoken.
    certificates: Option<Arc<Certificates>>,
    intake: Arc<dyn Intake>,
    budget: Arc<Budget>,
    events: Events,
    subscriptions: Subscriptions,
    complaints: Complaints,
    slots: Arc<Slots>,
}

impl Shared {
    /// What is said of a connection that speaks `protocol`, which is not spoken here.
    fn wrong(&self, protocol: Protocol) -> WrongProtocol {
        let door = protocol::Door::Kafka { tls: self.certificates.is_some(), sasl: self.config.auth.is_some() };
        WrongProtocol { protocol, door, at: self.local }
    }
}

/// The rooms behind a listener: all that it asks and tells.
#[derive(Clone)]
pub struct Rooms {
    /// Where pushes go.
    pub intake: Arc<dyn Intake>,
    /// Shared by all doors.
    pub budget: Arc<Budget>,
    /// What happens at the door.
    pub events: Events,
    /// What administrators look at and alter.
    pub subscriptions: Subscriptions,
}

impl Bound {
    /// Where it listens: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown`, then until every connection has been answered what it had asked, or the drain
    /// deadline. No task is left when it returns.
    pub async fn serve(self, rooms: Rooms, shutdown: impl Future<Output = ()> + Send + 'static) {
        let Rooms { intake, budget, events, subscriptions } = rooms;
        let complaints = Complaints::default();
        let (config, certificates) = (self.config, self.certificates);
        let slots = Slots::of(config.max_connections);
        let local = self.local;
        let shared = Shared { config, local, certificates, intake, budget, events, subscriptions, complaints, slots };
        let shared = Arc::new(shared);
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
                let mut presence = Presence::enter(shared, ConnectionId::next(), peer);
                if tasks.len() >= shared.config.max_connections {
                    presence.leave(End::Full(shared.config.max_connections));
                } else if let Err(end) = presence.take_place() {
                    presence.leave(end);
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

async fn serve_one(stream: TcpStream, mut presence: Presence, draining: watch::Receiver<bool>) {
    let end = match opening::open(stream, &mut presence, draining.clone()).await {
        Ok(opened) => Connection::new(opened, &presence, draining).converse().await,
        Err(end) => end,
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
pub(super) mod tests;
