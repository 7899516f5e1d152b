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
mod admin_handler;
mod advertise;
mod authentication;
mod cluster;
mod config;
mod connection;
mod connection_guard;
mod connection_limit;
mod proxy;
mod push_schedule;
mod session;
mod setup;
mod stream;
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

use crate::budget::ByteBudget;
use crate::log_limiter::LogLimiter;
use crate::protocol;
use crate::protocol::{ClientProtocol, WrongProtocol};
use crate::subscription::Subscriptions;
use barnabas_pipeline::event::Events;
use barnabas_pipeline::intake::Intake;
use barnabas_pipeline::push::ConnectionId;
use connection::KafkaConnection;
use connection_guard::{CloseReason, ConnectionGuard};
use connection_limit::ConnectionLimit;
use tls::Certificates;

pub use access::{ANONYMOUS, AdminAccess};
pub use cluster::{ClusterNode, MAX_NODES};
pub use config::KafkaListenerConfig;
pub use proxy::TrustedProxies;
pub use session::error_code;
pub use tls::{ClientAuth, ListenerTls};

/// Binds, and does not serve yet: connections wait in the kernel.
pub async fn bind(config: KafkaListenerConfig) -> anyhow::Result<BoundKafkaListener> {
    config.check().map_err(anyhow::Error::msg)?;
    if let Some(auth) = &config.auth {
        auth.load_files(SystemTime::now()).map_err(|why| anyhow::anyhow!("listener `{}`: {why}", config.name))?;
    }
    let certificates = certificates(&config)?;
    let (listener, local) = listen(config.bind).with_context(|| {
        format!("listener `{}` cannot bind {}; stop what holds it or choose another address", config.name, config.bind)
    })?;
    Ok(BoundKafkaListener { config, certificates, listener, local })
}

fn certificates(config: &KafkaListenerConfig) -> anyhow::Result<Option<Arc<Certificates>>> {
    let load = |tls| Certificates::load(config.name.clone(), tls);
    let loaded = config.tls.clone().map(load).transpose();
    loaded.map(|loaded| loaded.map(Arc::new)).map_err(|why| anyhow::anyhow!("listener `{}`: {why}", config.name))
}

fn listen(address: SocketAddr) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(1024)?;
    let local = listener.local_addr()?;
    Ok((listener, local))
}

/// A listener that has its address.
#[derive(Debug)]
pub struct BoundKafkaListener {
    config: KafkaListenerConfig,
    certificates: Option<Arc<Certificates>>,
    listener: TcpListener,
    local: SocketAddr,
}

/// What the connections of one listener share.
struct ListenerContext {
    config: KafkaListenerConfig,
    /// Where it listens.
    local: SocketAddr,
    /// Present where TLS is spoken.
    certificates: Option<Arc<Certificates>>,
    intake: Arc<dyn Intake>,
    budget: Arc<ByteBudget>,
    events: Events,
    subscriptions: Subscriptions,
    log_limiter: LogLimiter,
    connection_limit: Arc<ConnectionLimit>,
}

impl ListenerContext {
    /// What is said of a connection that speaks `protocol`, which is not spoken here.
    fn wrong_protocol(&self, protocol: ClientProtocol) -> WrongProtocol {
        let door = protocol::ListenerKind::Kafka { tls: self.certificates.is_some(), sasl: self.config.auth.is_some() };
        WrongProtocol { protocol, listener_kind: door, local: self.local }
    }
}

/// The rooms behind a listener: all that it asks and tells.
#[derive(Clone)]
pub struct ListenerHandles {
    /// Where pushes go.
    pub intake: Arc<dyn Intake>,
    /// Shared by all doors.
    pub budget: Arc<ByteBudget>,
    /// What happens at the door.
    pub events: Events,
    /// What administrators look at and alter.
    pub subscriptions: Subscriptions,
}

impl BoundKafkaListener {
    /// Where it listens: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown`, then until every connection has been answered what it had asked, or the drain
    /// deadline. No task is left when it returns.
    pub async fn serve(self, handles: ListenerHandles, shutdown: impl Future<Output = ()> + Send + 'static) {
        let ListenerHandles { intake, budget, events, subscriptions } = handles;
        let log_limiter = LogLimiter::default();
        let (config, certificates) = (self.config, self.certificates);
        let connection_limit = ConnectionLimit::new(config.max_connections);
        let local = self.local;
        let shared = ListenerContext {
            config,
            local,
            certificates,
            intake,
            budget,
            events,
            subscriptions,
            log_limiter,
            connection_limit,
        };
        let shared = Arc::new(shared);
        let (drain, draining) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tokio::select! {
            () = shutdown => {}
            () = accept(&self.listener, &shared, &mut tasks, &draining) => {}
        }
        drop(self.listener);
        drain.send_replace(true);
        drain_connections(&shared.config, tasks).await;
    }
}

/// Takes connections for ever.
async fn accept(
    listener: &TcpListener,
    shared: &Arc<ListenerContext>,
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
                let mut guard = ConnectionGuard::open(shared, ConnectionId::next(), peer);
                if tasks.len() >= shared.config.max_connections {
                    guard.close(CloseReason::TooManyConnections(shared.config.max_connections));
                } else if let Err(end) = guard.acquire_place() {
                    guard.close(end);
                } else {
                    tasks.spawn(serve_connection(stream, guard, draining.clone()));
                }
            }
            // Most often all file descriptors are in use: it would fail again at once.
            Err(error) => {
                if let Some(suppressed) = shared.log_limiter.permit() {
                    tracing::warn!(listener = %shared.config.name, %error, suppressed, "cannot take a connection");
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn serve_connection(stream: TcpStream, mut guard: ConnectionGuard, draining: watch::Receiver<bool>) {
    let end = match setup::prepare(stream, &mut guard, draining.clone()).await {
        Ok(opened) => KafkaConnection::new(opened, &guard, draining).run().await,
        Err(end) => end,
    };
    guard.close(end);
}

async fn drain_connections(config: &KafkaListenerConfig, mut tasks: JoinSet<()>) {
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
