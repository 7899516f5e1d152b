//! The admin endpoint: status pages, metrics, and an API to request changes.
//!
//! In: HTTP requests, one per connection, over a Unix socket or TCP. Out: `/metrics`, `/healthz` and `/readyz` for
//! everyone; the paths below `/v1/` for the user that runs the host, over the socket, and for callers with the token.
//! Bounded: a limit of concurrent connections (more wait in the kernel), a timeout for each request or for each of its
//! reads and writes, and a limit for bodies. It reads through [`StatusSource`] and [`HostMetrics`], and acts through
//! [`AdminOps`]; it contains no decisions of its own. Never serves TCP requests for unknown host names, so that a web
//! page cannot reach it through the browser of its visitor.

mod artifacts;
mod body;
mod changes;
pub mod client;
mod client_pages;
mod connections;
mod guard;
mod hosts;
pub mod log;
pub mod metrics;
mod ops;
mod pages;
mod response;
mod socket;
mod steps;
mod token;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::metrics::HostMetrics;
use barnabas_base::InstanceId;
use barnabas_pipeline::clients;
use connections::{AdminTimeouts, accept_tcp, accept_unix};
use guard::AccessGuard;
use hosts::AllowedHosts;
use pages::AdminContext;
use socket::AdminSocket;
use token::AdminToken;

pub use ops::{AdminOps, StoringArtifact};

/// Time for open requests to complete at shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// The addresses of the endpoint and its access rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// The TCP address to listen on.
    pub bind: SocketAddr,
    /// Accepted host names, in addition to IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The Unix socket, if there is one.
    pub socket: Option<PathBuf>,
    /// The file with the token for TCP; without it, `/v1/` is not served over TCP.
    pub token_file: Option<PathBuf>,
}

impl AdminConfig {
    /// Accepts IP addresses and `localhost` only; no socket and no token.
    pub fn new(bind: SocketAddr) -> Self {
        Self { bind, hosts: Vec::new(), socket: None, token_file: None }
    }
}

/// The data behind the pages, read for each request.
pub trait StatusSource: Send + Sync + 'static {
    /// An array with one object per configured slot.
    fn plugins(&self) -> serde_json::Value;

    /// The ledger of the ingress.
    fn ingress(&self) -> serde_json::Value;

    /// The clients that match the filter, most recently active first. Scans all clients, so do not call it on an async
    /// thread.
    fn clients(&self, filter: &clients::ClientFilter) -> clients::ClientList;

    /// Details of a client; `None` if it is unknown.
    fn client(&self, id: InstanceId) -> Option<clients::ClientDescription>;

    /// Whether every configured receiver has been tried; otherwise, what the host waits for.
    fn ready(&self) -> Result<(), String>;
}

/// Binds the TCP listener and the socket without serving them yet: connections wait in the kernel. Creates the token if
/// there is none.
pub async fn bind(config: AdminConfig) -> Result<BoundAdmin> {
    let bind = config.bind;
    let listener = TcpListener::bind(bind).await.with_context(|| {
        format!("the admin endpoint cannot bind {bind}; stop the process that uses it, or change `admin.bind`")
    })?;
    let local = listener.local_addr().context("the admin endpoint has no local address")?;
    let socket = config.socket.as_deref().map(AdminSocket::bind).transpose()?;
    let token = Arc::new(token(config.token_file.as_deref())?);
    let guard = AccessGuard { hosts: AllowedHosts::new(config.hosts), token };
    Ok(BoundAdmin { listener, local, socket, guard, times: AdminTimeouts::default() })
}

/// The token, or the reason that there is none. A file that cannot be created or read, or that others can read, aborts
/// startup: the operator relies on it both for protection and for access.
fn token(file: Option<&Path>) -> Result<Result<AdminToken, String>> {
    let Some(file) = file else {
        return Ok(Err("no token file is configured (an ephemeral host has none)".into()));
    };
    let token = AdminToken::open(file).map_err(|error| match error.kind() {
        // The error names the file and the remedy.
        io::ErrorKind::InvalidData => error.into(),
        _ => anyhow::anyhow!(
            "{}: {error}; make the file readable only by its owner, or remove it so that a new one is created",
            file.display()
        ),
    });
    token.map(Ok).context("the admin endpoint's token cannot be used")
}

/// An admin endpoint that is bound to its addresses.
#[derive(Debug)]
pub struct BoundAdmin {
    listener: TcpListener,
    local: SocketAddr,
    socket: Option<AdminSocket>,
    guard: AccessGuard,
    times: AdminTimeouts,
}

impl BoundAdmin {
    /// The TCP address, with the real port if port 0 was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The Unix socket, if there is one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(AdminSocket::path)
    }

    /// Serves until `shutdown`, then waits for open requests. No task and no socket is left when it returns.
    pub async fn serve(
        self,
        source: Arc<dyn StatusSource>,
        office: Arc<dyn AdminOps>,
        metrics: Arc<HostMetrics>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let router = pages::router(AdminContext::new(source, office, metrics), self.guard);
        let (mut by_tcp, mut by_socket) = (JoinSet::new(), JoinSet::new());
        let local = async {
            match &self.socket {
                Some(socket) => accept_unix(&socket.listener, &router, self.times, &mut by_socket).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown => {}
            () = accept_tcp(&self.listener, &router, self.times, &mut by_tcp) => {}
            () = local => {}
        }
        drop((self.listener, self.socket));
        let left = async {
            while by_tcp.join_next().await.is_some() {}
            while by_socket.join_next().await.is_some() {}
        };
        if timeout(DRAIN, left).await.is_err() {
            let visitors = by_tcp.len() + by_socket.len();
            tracing::debug!(visitors, "admin endpoint closed connections that were still open at shutdown");
            by_tcp.shutdown().await;
            by_socket.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests;
