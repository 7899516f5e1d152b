//! The door for OTLP over HTTP: `POST /v1/metrics`, protobuf or JSON.
//!
//! In: connections. Out: a [`Push`] for each request, handed to [`Intake::deliver`] as it came, still compressed; the
//! answer goes back as the OTLP specification says. There are no subscriptions here, so the door admits what it takes.
//! Bounded: connections, bytes of a body, bytes of all bodies (the doors' common [`Budget`]), and every wait. Never
//! decompresses a body and never looks into it, JSON or not: who pushed is read from the resource later (`decode::IdentityRule`).

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

use super::budget::{Budget, Hold};
use super::http1::{Limits, Peer, Server};
use super::protocol;
use crate::event::{EventData, Events, Topic};
use crate::intake::{Intake, Receipt, StartedPush};
use crate::push::{Client, Push};
use answer::{Answer, Problem};
use request::Head;

/// One OTLP/HTTP door.
#[derive(Clone, Debug)]
pub struct Config {
    /// In events and logs, and what receivers are told.
    pub name: Arc<str>,
    /// Where to listen.
    pub bind: SocketAddr,
    /// Most bytes of a body, as sent.
    pub max_body: usize,
    /// Most connections at a time; one more is closed at once.
    pub max_connections: usize,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// For a request's body.
    pub body: Duration,
    /// Between the requests of a connection: exporters are silent for minutes.
    pub idle: Duration,
    /// For answering what was read when shutdown begins.
    pub drain: Duration,
}

impl Default for Config {
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

/// Takes the address.
pub async fn bind(config: Config) -> anyhow::Result<Bound> {
    let at =
        || format!("cannot listen on {} (listener `{}`): free the port or choose another", config.bind, config.name);
    let listener = TcpListener::bind(config.bind).await.with_context(at)?;
    let local = listener.local_addr().with_context(at)?;
    Ok(Bound { config, listener, local })
}

/// A door with an address, before it opens.
#[derive(Debug)]
pub struct Bound {
    config: Config,
    listener: TcpListener,
    local: SocketAddr,
}

impl Bound {
    /// Where it listens, with the port that the system chose where none was configured.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Serves until `shutdown` is done and every request that was read is answered.
    pub async fn serve(
        self,
        intake: Arc<dyn Intake>,
        budget: Arc<Budget>,
        events: Events,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) {
        let Config { max_connections: connections, head, idle, drain, ref name, .. } = self.config;
        let (name, limits) = (name.clone(), Limits { connections, head, idle, drain });
        let door = Arc::new(Door { config: self.config, intake, budget, events: events.clone() });
        let (router, complaints) = (door.router(), Arc::default());
        Server { name, door: protocol::Door::OtlpHttp, complaints, limits, events, router }
            .run(self.listener, shutdown)
            .await;
    }
}

struct Door {
    config: Config,
    intake: Arc<dyn Intake>,
    budget: Arc<Budget>,
    events: Events,
}

impl Door {
    fn router(self: Arc<Self>) -> Router {
        Router::new().route("/v1/metrics", post(export).fallback(not_post)).fallback(elsewhere).with_state(self)
    }

    /// One request, from head to receipt.
    async fn take(&self, request: Request, size: &mut usize) -> Result<Answer, Problem> {
        let head = Head::read(request.headers())?;
        let peer = request.extensions().get().map(|Peer(at)| *at);
        let mut hold = peer.map_or_else(|| self.budget.hold(), |peer| self.budget.hold_for(peer.ip()));
        let wire = request::body(request, &self.config, &mut hold).await?;
        *size = wire.len();
        let client = Client { source: peer, listener: Some(self.config.name.clone()), ..Client::default() };
        let receipt = self.deliver(head.push(Arc::new(client), wire), hold).await?;
        // Nobody is told of receivers that fail; that there is none at all is for the sender to know.
        let lost = receipt == Receipt::Unwanted && !self.intake.offers_telemetry();
        Ok(if lost {
            Answer::Warning("no receiver is configured on this host: the metrics were let go")
        } else {
            Answer::Taken
        })
    }

    /// Keeps what the request holds of the budget until its push is decoded: a sender that goes away does not end that.
    async fn deliver(&self, push: Push, hold: Hold) -> Result<Receipt, Problem> {
        match self.intake.clone().start_delivery(push) {
            StartedPush::Done(done) => Ok(done?),
            StartedPush::Large(large) => {
                let done = large.finish(hold).await;
                Ok(done.map_err(|_| Problem::unavailable("the host failed to decode this request"))??)
            }
        }
    }
}

async fn export(State(door): State<Arc<Door>>, request: Request) -> Response {
    let (began, json) = (Instant::now(), request::is_json(request.headers()));
    let mut size = 0;
    let response = match door.take(request, &mut size).await {
        Ok(answer) => answer.into_response(json),
        Err(problem) => {
            tracing::debug!(listener = %door.config.name, status = %problem.status(), "request refused: {problem}");
            problem.into_response(json)
        }
    };
    door.events.emit(Topic::ListenerRequest, || EventData::ListenerRequest {
        api: "otlp-metrics",
        version: 1,
        size,
        duration: began.elapsed(),
    });
    response
}

async fn not_post(method: Method, request: Request) -> Response {
    Problem::method(&method).into_response(request::is_json(request.headers()))
}

async fn elsewhere(request: Request) -> Response {
    Problem::elsewhere(request.uri().path()).into_response(request::is_json(request.headers()))
}
