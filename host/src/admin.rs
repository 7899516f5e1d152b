//! The admin endpoint: what operators and their machines look at, and where they ask for changes.
//!
//! In: HTTP requests, each on a connection of its own, by a Unix socket or by TCP. Out: `/metrics`, `/healthz` and
//! `/readyz` for everybody; what is under `/v1/` for the user of the host, by the socket, and for those who have the
//! token. Bounded by a cap on visitors at a time (more wait in the kernel), a time for each visit or for each of its
//! reads and writes, and a cap on bodies. It looks at rooms through [`StatusSource`] and [`Metrics`] and acts through
//! [`Office`]; it decides nothing itself. By TCP it answers only to host names that it knows, so that a web page cannot
//! ask it through its visitor's browser.

mod artifacts;
mod body;
mod changes;
pub mod client;
mod client_pages;
mod connections;
mod guard;
mod hosts;
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

use crate::clients;
use crate::event::metrics::HostMetrics;
use crate::push::InstanceId;
use connections::{AdminTimeouts, accept_tcp, accept_unix};
use guard::AccessGuard;
use hosts::AllowedHosts;
use pages::AdminContext;
use socket::AdminSocket;
use token::AdminToken;

pub use ops::{AdminOps, StoringArtifact};

/// How long visitors may take to leave at shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// Where to answer, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Host names under which it is known, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
    /// The Unix socket, where there is to be one.
    pub socket: Option<PathBuf>,
    /// Where the token for TCP is kept; without one nothing under `/v1/` answers there.
    pub token_file: Option<PathBuf>,
}

impl AdminConfig {
    /// Known by IP addresses and `localhost` only, without socket and token.
    pub fn new(bind: SocketAddr) -> Self {
        Self { bind, hosts: Vec::new(), socket: None, token_file: None }
    }
}

/// What the pages show, read at each visit.
pub trait StatusSource: Send + Sync + 'static {
    /// An array with one object for each configured slot.
    fn plugins(&self) -> serde_json::Value;

    /// The door's ledger.
    fn ingress(&self) -> serde_json::Value;

    /// The clients that are meant, those heard of last first. Looks at all of them: call it where that does no harm.
    fn clients(&self, filter: &clients::ClientFilter) -> clients::ClientList;

    /// Everything about one client; `None` if it is not known.
    fn client(&self, id: InstanceId) -> Option<clients::ClientDescription>;

    /// Whether every configured receiver has been tried; if not, what it is waiting for, in words.
    fn ready(&self) -> Result<(), String>;
}

/// Binds both ways in, and does not serve yet: connections wait in the kernel. Makes the token where there is none.
pub async fn bind(config: AdminConfig) -> Result<BoundAdmin> {
    let bind = config.bind;
    let listener = TcpListener::bind(bind).await.with_context(|| {
        format!("the admin endpoint cannot bind {bind}; stop what holds it or choose another address in `admin.bind`")
    })?;
    let local = listener.local_addr().context("the admin endpoint has no address")?;
    let socket = config.socket.as_deref().map(AdminSocket::bind).transpose()?;
    let token = Arc::new(token(config.token_file.as_deref())?);
    let guard = AccessGuard { hosts: AllowedHosts::new(config.hosts), token };
    Ok(BoundAdmin { listener, local, socket, guard, times: AdminTimeouts::default() })
}

/// The token; or in words why there is none. A file that cannot be made, read or trusted ends the start: an operator
/// believes that it protects something, and that it leads in.
fn token(file: Option<&Path>) -> Result<Result<AdminToken, String>> {
    let Some(file) = file else {
        return Ok(Err("no file for one is configured, as on an ephemeral host".into()));
    };
    let token = AdminToken::open(file).map_err(|error| match error.kind() {
        // It names the file and the remedy.
        io::ErrorKind::InvalidData => error.into(),
        _ => anyhow::anyhow!(
            "{}: {error}; make it a file that only this user can read, or remove it, and a new one is made",
            file.display()
        ),
    });
    token.map(Ok).context("the admin endpoint's token cannot be used")
}

/// An admin endpoint that has its addresses.
#[derive(Debug)]
pub struct BoundAdmin {
    listener: TcpListener,
    local: SocketAddr,
    socket: Option<AdminSocket>,
    guard: AccessGuard,
    times: AdminTimeouts,
}

impl BoundAdmin {
    /// Where it listens: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// The Unix socket, where there is one.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(AdminSocket::path)
    }

    /// Serves until `shutdown`, then lets visitors leave. No task and no socket is left when it returns.
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
            tracing::debug!(visitors, "the admin endpoint closes on visitors that did not leave");
            by_tcp.shutdown().await;
            by_socket.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests;
