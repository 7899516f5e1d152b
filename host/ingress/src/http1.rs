//! The accept loop and the connections of an HTTP/1.1 listener.
//!
//! In: a bound socket and a router. Out: answered requests, and an event when each connection opens and closes.
//! Bounded: connections, the bytes and the time of a request's head, idle time, and the time that shutdown takes.
//! Shutdown answers every request that was read. This module knows no path and no body: the router limits what a
//! request's body may cost.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower_service::Service as _;

use super::log_limiter::LogLimiter;
use super::protocol::{ListenerKind, SniffedStream, WrongProtocol};
use barnabas_pipeline::event::{EventData, Events, Topic};
use barnabas_pipeline::push::ConnectionId;

/// The most bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;
/// How long to wait after `accept` failed, mostly because there were no file descriptors left.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Limits of the connections.
#[derive(Clone, Debug)]
pub(crate) struct HttpLimits {
    /// Open at the same time; a further connection is closed immediately.
    pub(crate) connections: usize,
    /// From the first byte of a request to the end of its head.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// For answering what was read before shutdown began.
    pub(crate) drain: Duration,
}

/// The remote address of the connection that a request came on (a request extension).
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) SocketAddr);

/// What all connections of one listener share.
#[derive(Clone)]
pub(crate) struct HttpServer {
    /// The listener's name in events and logs.
    pub(crate) name: Arc<str>,
    /// What kind of listener clients of another protocol reached.
    pub(crate) listener_kind: ListenerKind,
    pub(crate) log_limiter: Arc<LogLimiter>,
    pub(crate) limits: HttpLimits,
    pub(crate) events: Events,
    pub(crate) router: Router,
}

impl HttpServer {
    /// Runs until `shutdown` completes and every request read by then is answered, or until the drain timeout.
    pub(crate) async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let permits = Arc::new(Semaphore::new(self.limits.connections));
        let (stop, stopped) = watch::channel(());
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((tcp, peer)) => {
                        let permit = permits.clone().try_acquire_owned().ok();
                        connections.spawn(self.clone().serve_connection(tcp, peer, permit, stopped.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(listener = %self.name, %error, "failed to accept a connection");
                        tokio::time::sleep(BACK_OFF).await;
                    }
                },
            }
        }
        drop(listener);
        stop.send_replace(());
        if tokio::time::timeout(self.limits.drain, async { while connections.join_next().await.is_some() {} })
            .await
            .is_err()
        {
            tracing::warn!(listener = %self.name, connections = connections.len(), "drain timeout reached; closing the remaining connections");
            connections.shutdown().await;
        }
    }

    async fn serve_connection(
        self,
        tcp: TcpStream,
        peer: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
        stopped: watch::Receiver<()>,
    ) {
        let connection_events = ConnectionEvents::open(&self, peer);
        let reason = match permit {
            Some(_) => self.serve(tcp, peer, stopped).await,
            None => format!("connection limit of {} reached", self.limits.connections),
        };
        connection_events.close(reason);
    }

    /// Serves one connection until it closes, and returns the reason.
    async fn serve(&self, tcp: TcpStream, peer: SocketAddr, mut stopped: watch::Receiver<()>) -> String {
        // An answer is one write; waiting for more data would only delay it.
        tcp.set_nodelay(true).ok();
        let phase = Arc::<HttpPhaseTracker>::default();
        let local = match tcp.local_addr() {
            Ok(at) => at,
            Err(error) => return error.to_string(),
        };
        let sniffed = SniffedStream::new(PhaseTrackingStream { tcp, phase: phase.clone() }, self.listener_kind, local);
        let (detected, io) = (sniffed.detected(), TokioIo::new(sniffed));
        let service = hyper::service::service_fn(|request| self.answer(request, peer, phase.clone()));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.idle).max_buf_size(HEAD_BYTES);
        let mut connection = pin!(http.serve_connection(io, service));
        let mut tick = tokio::time::interval(self.limits.head.div_f32(4.0).max(Duration::from_millis(1)));
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = &mut connection => match detected.get() {
                    Some(wrong) => return self.report_wrong_protocol(wrong, peer),
                    None => return ended.map_or_else(|e| describe(&e), |()| "closed".to_owned()),
                },
                _ = stopped.changed(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = tick.tick() => if phase.overdue(self.limits.head) {
                    return "timed out reading a request head".to_owned();
                },
            }
        }
    }

    /// Reports a protocol other than HTTP to the operator, and returns the reason for closing.
    fn report_wrong_protocol(&self, wrong: WrongProtocol, peer: SocketAddr) -> String {
        if let Some(suppressed) = self.log_limiter.permit_for(peer.ip()) {
            tracing::warn!(listener = %self.name, %peer, suppressed, "connection closed: {wrong}");
        }
        wrong.to_string()
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        phase: Arc<HttpPhaseTracker>,
    ) -> Result<Response<axum::body::Body>, Infallible> {
        phase.set(HttpPhase::Busy);
        request.extensions_mut().insert(PeerAddress(peer));
        // A `Router` is always ready.
        let response = self.router.clone().call(request).await;
        phase.set(HttpPhase::Idle);
        response
    }
}

/// hyper's outermost message alone says little.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Emits an event when the connection opens and another when it closes, even if its task is cancelled.
struct ConnectionEvents {
    events: Events,
    listener: Arc<str>,
    connection: ConnectionId,
    reason: String,
}

impl ConnectionEvents {
    fn open(server: &HttpServer, peer: SocketAddr) -> Self {
        let (events, listener, connection) = (server.events.clone(), server.name.clone(), ConnectionId::next());
        events.emit(Topic::ListenerConnect, || EventData::ListenerConnect {
            listener: listener.clone(),
            connection,
            peer: peer.to_string(),
        });
        Self { events, listener, connection, reason: "cancelled at shutdown".to_owned() }
    }

    fn close(mut self, reason: String) {
        tracing::debug!(listener = %self.listener, connection = self.connection.0, "connection closed: {reason}");
        self.reason = reason;
    }
}

impl Drop for ConnectionEvents {
    fn drop(&mut self) {
        self.events.emit(Topic::ListenerDisconnect, || EventData::ListenerDisconnect {
            listener: self.listener.clone(),
            connection: self.connection,
            reason: std::mem::take(&mut self.reason),
        });
    }
}

/// The phase of a connection. hyper has one timer for an idle connection and for a head that arrives slowly; these two
/// have very different limits here.
#[derive(Debug, Default)]
struct HttpPhaseTracker(Mutex<HttpPhase>);

#[derive(Clone, Copy, Debug, Default)]
enum HttpPhase {
    /// Between requests.
    #[default]
    Idle,
    /// The first byte of a request arrived at this time.
    Head(Instant),
    /// The router is handling a request.
    Busy,
}

impl HttpPhaseTracker {
    fn set(&self, state: HttpPhase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn bytes_received(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, HttpPhase::Idle) {
            *state = HttpPhase::Head(Instant::now());
        }
    }

    fn overdue(&self, limit: Duration) -> bool {
        let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(state, HttpPhase::Head(since) if since.elapsed() > limit)
    }
}

/// Records when bytes arrive.
struct PhaseTrackingStream {
    tcp: TcpStream,
    phase: Arc<HttpPhaseTracker>,
}

impl AsyncRead for PhaseTrackingStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.phase.bytes_received();
        }
        read
    }
}

impl AsyncWrite for PhaseTrackingStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
