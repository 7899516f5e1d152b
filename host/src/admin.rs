//! The admin endpoint: what operators and their machines look at.
//!
//! In: HTTP requests, each on a connection of its own. Out: `/metrics`, `/healthz`, `/readyz` and `/v1/status`. Bounded
//! by a cap on visitors at a time (more wait in the kernel) and a time for each visit. It looks at rooms through
//! [`StatusSource`] and [`Metrics`], and never changes anything: whoever gets in can read and no more. It answers only
//! to host names that it knows, so that a web page cannot read it through its visitor's browser.

pub mod client;
mod hosts;
mod pages;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service as _;

use crate::event::metrics::Metrics;
use hosts::Hosts;

/// Most visitors at a time.
const VISITORS: usize = 64;
/// How long a visit may take, from its connection to its last byte.
const VISIT: Duration = Duration::from_secs(30);
/// How long its head may take.
const HEAD: Duration = Duration::from_secs(10);
/// How long visitors may take to leave at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// How long to wait when no connection can be taken, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// Where to answer, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub bind: SocketAddr,
    /// Host names under which it is known, besides IP addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl Config {
    /// Known by IP addresses and `localhost` only.
    pub fn new(bind: SocketAddr) -> Self {
        Self { bind, hosts: Vec::new() }
    }
}

/// What the pages show, read at each visit.
pub trait StatusSource: Send + Sync + 'static {
    /// An array with one object for each configured slot.
    fn plugins(&self) -> serde_json::Value;

    /// The door's ledger.
    fn door(&self) -> serde_json::Value;

    /// Whether every configured receiver has been tried; if not, what it is waiting for, in words.
    fn ready(&self) -> Result<(), String>;
}

/// Binds, and does not serve yet: connections wait in the kernel.
pub async fn bind(config: Config) -> anyhow::Result<Bound> {
    let bind = config.bind;
    let listener = TcpListener::bind(bind).await.with_context(|| {
        format!("the admin endpoint cannot bind {bind}; stop what holds it or choose another address in `admin.bind`")
    })?;
    let local = listener.local_addr().context("the admin endpoint has no address")?;
    Ok(Bound { listener, local, hosts: Hosts::new(config.hosts) })
}

/// An admin endpoint that has its address.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    local: SocketAddr,
    hosts: Hosts,
}

impl Bound {
    /// Where it listens: with the real port, where port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown`, then lets visitors leave. No task is left when it returns.
    pub async fn serve(
        self,
        source: Arc<dyn StatusSource>,
        metrics: Arc<Metrics>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let router = pages::router(source, metrics, self.hosts);
        let mut visits = JoinSet::new();
        tokio::select! {
            () = shutdown => {}
            () = accept(&self.listener, &router, &mut visits) => {}
        }
        drop(self.listener);
        if timeout(DRAIN, async { while visits.join_next().await.is_some() {} }).await.is_err() {
            tracing::debug!(visitors = visits.len(), "the admin endpoint closes on visitors that did not leave");
            visits.shutdown().await;
        }
    }
}

/// Takes visitors for ever.
async fn accept(listener: &TcpListener, router: &Router, visits: &mut JoinSet<()>) {
    loop {
        while visits.try_join_next().is_some() {}
        if visits.len() >= VISITORS {
            visits.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                visits.spawn(visit(stream, router.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the admin endpoint cannot take a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

/// One request, one answer: nobody stays, so nobody has to be sent away.
async fn visit(stream: TcpStream, router: Router) {
    let service = service_fn(move |request| answer(router.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(VISIT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a visit of the admin endpoint failed"),
        Err(_) => tracing::debug!("a visit of the admin endpoint took longer than {VISIT:?}"),
    }
}

async fn answer(mut router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    router.call(request).await
}

#[cfg(test)]
mod tests;
