//! The OTLP/HTTP listener: `POST /v1/metrics`, protobuf or JSON.
//!
//! In: connections. Out: a [`Push`] for each request, handed to [`Intake::deliver`] unchanged and still compressed; the
//! response follows the OTLP specification. There are no subscriptions here, so every request that is read is admitted.
//! Bounded: connections, the bytes of a body, the bytes of all bodies (the [`ByteBudget`] that all listeners share),
//! and every wait. Never decompresses or parses a body, JSON or not: the client is identified later, from the resource
//! attributes (`decode::IdentityRule`).

mod answer;
mod request;
#[cfg(test)]
mod tests;
mod trace_parent;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use http::Method;
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::budget::{ByteBudget, Hold};
use super::http1::{HttpLimits, HttpServer, PeerAddress};
use super::protocol;
use answer::{ExportOutcome, ExportProblem};
use barnabas_pipeline::event::{EventData, Events, Topic};
use barnabas_pipeline::intake::{Intake, Receipt, StartedPush};
use barnabas_pipeline::push::{Client, Push};
use request::OtlpRequestHead;

/// Configuration of one OTLP/HTTP listener.
#[derive(Clone, Debug)]
pub struct OtlpHttpConfig {
    /// Its name in events and logs, and for receivers.
    pub name: Arc<str>,
    /// The address to listen on.
    pub bind: SocketAddr,
    /// The most bytes of a body as sent, compressed or not.
    pub max_body: usize,
    /// The most connections at the same time; a further one is closed immediately.
    pub max_connections: usize,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// For a request's body.
    pub body: Duration,
    /// Between the requests of a connection: exporters are silent for minutes.
    pub idle: Duration,
    /// For answering what was read before shutdown began.
    pub drain: Duration,
}

impl Default for OtlpHttpConfig {
    fn default() -> Self {
        Self {
            name: "otlp-http".into(),
            bind: (Ipv4Addr::LOCALHOST, 4318).into(),
            max_body: 1 << 20,
            max_connections: 1_000,
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            drain: Duration::from_secs(10),
        }
    }
}

/// Binds the address.
pub async fn bind(config: OtlpHttpConfig) -> anyhow::Result<BoundOtlpListener> {
    let at = || {
        format!(
            "listener `{1}` cannot bind {0}; stop the process that uses the address, or configure another one",
            config.bind, config.name
        )
    };
    let listener = TcpListener::bind(config.bind).await.with_context(at)?;
    let local = listener.local_addr().with_context(at)?;
    Ok(BoundOtlpListener { config, listener, local })
}

/// A bound listener that does not serve yet.
#[derive(Debug)]
pub struct BoundOtlpListener {
    config: OtlpHttpConfig,
    listener: TcpListener,
    local: SocketAddr,
}

impl BoundOtlpListener {
    /// The address it listens on, with the port that the system chose if none was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown` completes and every request that was read is answered.
    pub async fn serve(
        self,
        intake: Arc<dyn Intake>,
        budget: Arc<ByteBudget>,
        events: Events,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let OtlpHttpConfig { max_connections: connections, head, idle, drain, ref name, .. } = self.config;
        let (name, limits) = (name.clone(), HttpLimits { connections, head, idle, drain });
        let handler = Arc::new(OtlpHttpHandler { config: self.config, intake, budget, events: events.clone() });
        let (router, complaints) = (handler.router(), Arc::default());
        HttpServer {
            name,
            listener_kind: protocol::ListenerKind::OtlpHttp,
            log_limiter: complaints,
            limits,
            events,
            router,
        }
        .run(self.listener, shutdown)
        .await;
    }
}

struct OtlpHttpHandler {
    config: OtlpHttpConfig,
    intake: Arc<dyn Intake>,
    budget: Arc<ByteBudget>,
    events: Events,
}

impl OtlpHttpHandler {
    fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/metrics", post(export).fallback(method_not_allowed))
            .fallback(not_found)
            .with_state(self)
    }

    /// Handles one request, from its head to the receipt.
    async fn handle(&self, request: Request, size: &mut usize) -> Result<ExportOutcome, ExportProblem> {
        let head = OtlpRequestHead::read(request.headers())?;
        let peer = request.extensions().get().map(|PeerAddress(at)| *at);
        let mut hold = peer.map_or_else(|| self.budget.hold(), |peer| self.budget.hold_for(peer.ip()));
        let wire = request::body(request, &self.config, &mut hold).await?;
        *size = wire.len();
        let client = Client { source: peer, listener: Some(self.config.name.clone()), ..Client::default() };
        let receipt = self.deliver(head.into_push(Arc::new(client), wire), hold).await?;
        // A sender is not told about failing receivers, but it is told if there are none at all.
        let no_receivers = receipt == Receipt::Unwanted && !self.intake.offers_telemetry();
        Ok(if no_receivers {
            ExportOutcome::Warning("no receiver is configured on this host: the metrics were dropped")
        } else {
            ExportOutcome::Accepted
        })
    }

    /// Keeps the request's bytes reserved until its push is decoded, even if the sender disconnects before.
    async fn deliver(&self, push: Push, hold: Hold) -> Result<Receipt, ExportProblem> {
        match self.intake.clone().start_delivery(push) {
            StartedPush::Done(done) => Ok(done?),
            StartedPush::Large(large) => {
                let done = large.finish(hold).await;
                Ok(done.map_err(|_| ExportProblem::unavailable("the host failed to decode this request"))??)
            }
        }
    }
}

async fn export(State(handler): State<Arc<OtlpHttpHandler>>, request: Request) -> Response {
    let (began, json) = (Instant::now(), request::is_json(request.headers()));
    let mut size = 0;
    let response = match handler.handle(request, &mut size).await {
        Ok(answer) => answer.into_response(json),
        Err(problem) => {
            tracing::debug!(listener = %handler.config.name, status = %problem.status(), "request refused: {problem}");
            problem.into_response(json)
        }
    };
    handler.events.emit(Topic::ListenerRequest, || EventData::ListenerRequest {
        api: "otlp-metrics",
        version: 1,
        size,
        duration: began.elapsed(),
    });
    response
}

async fn method_not_allowed(method: Method, request: Request) -> Response {
    ExportProblem::method_not_allowed(&method).into_response(request::is_json(request.headers()))
}

async fn not_found(request: Request) -> Response {
    ExportProblem::unknown_path(request.uri().path()).into_response(request::is_json(request.headers()))
}
