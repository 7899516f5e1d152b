//! The Kafka listener: to its clients it is a broker.
//!
//! In: TCP connections, with TLS or a PROXY header where configured. Out: pushes and subscription requests, to
//! [`Intake`]; administrators' requests, to [`Subscriptions`]. The requests of a connection are answered one at a time,
//! in order. Bounded by a connection limit, by the share of it that one source may use, by a cap on the frame, by the
//! [`ByteBudget`], and by timeouts for idle connections, slow frames, slow readers and authentication. Beyond the
//! connection limit a new connection is closed as soon as it is accepted, so that the existing ones are served. A
//! connection is closed only for a violation of the framing, for one of those timeouts, and at shutdown, after every
//! request that was read has been answered: older Java clients stop sending telemetry for good when a connection closes
//! on their request. The listener never advertises what it cannot do, and decides nothing about telemetry itself.

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

/// Binds the address and does not serve yet: connections wait in the kernel's backlog.
pub async fn bind(config: KafkaListenerConfig) -> anyhow::Result<BoundKafkaListener> {
    config.check().map_err(anyhow::Error::msg)?;
    if let Some(auth) = &config.auth {
        auth.load_files(SystemTime::now()).map_err(|why| anyhow::anyhow!("listener `{}`: {why}", config.name))?;
    }
    let certificates = certificates(&config)?;
    let (listener, local) = listen(config.bind).with_context(|| {
        format!(
            "listener `{}` cannot bind {}; stop the process that uses the address, or configure another one",
            config.name, config.bind
        )
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

/// A bound listener that does not serve yet.
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
    /// The address it listens on.
    local: SocketAddr,
    /// Present if the listener uses TLS.
    certificates: Option<Arc<Certificates>>,
    intake: Arc<dyn Intake>,
    budget: Arc<ByteBudget>,
    events: Events,
    subscriptions: Subscriptions,
    log_limiter: LogLimiter,
    connection_limit: Arc<ConnectionLimit>,
}

impl ListenerContext {
    /// The error for a connection that speaks `protocol`, which this listener does not.
    fn wrong_protocol(&self, protocol: ClientProtocol) -> WrongProtocol {
        let door = protocol::ListenerKind::Kafka { tls: self.certificates.is_some(), sasl: self.config.auth.is_some() };
        WrongProtocol { protocol, listener_kind: door, local: self.local }
    }
}

/// What a listener hands requests to and reports to.
#[derive(Clone)]
pub struct ListenerHandles {
    /// Receives pushes and subscription requests.
    pub intake: Arc<dyn Intake>,
    /// Shared by all listeners.
    pub budget: Arc<ByteBudget>,
    /// Receives the events of connections and requests.
    pub events: Events,
    /// What administrators describe and alter.
    pub subscriptions: Subscriptions,
}

impl BoundKafkaListener {
    /// The address it listens on, with the actual port if port 0 was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown` completes, then until every request that was read is answered, or until the drain
    /// timeout. No task is left when it returns.
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

/// Accepts connections until it is cancelled.
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
            // Usually the process is out of file descriptors, so an immediate retry would fail again.
            Err(error) => {
                if let Some(suppressed) = shared.log_limiter.permit() {
                    tracing::warn!(listener = %shared.config.name, %error, suppressed, "failed to accept a connection");
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
            "drain timeout reached; closing the remaining connections"
        );
        tasks.shutdown().await;
    }
}

#[cfg(test)]
pub(super) mod tests;
