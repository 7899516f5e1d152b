//! The loop of a door that speaks HTTP/1.1.
//!
//! In: a bound socket and a router. Out: answered requests, and an event for each connection's beginning and end.
//! Bounded: connections, bytes and time of a request's head, idle time, and the time that shutdown takes. At shutdown
//! every request that was read is answered. Knows no path and no body: what a request's body may cost is the router's.

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

use super::complaints::Complaints;
use super::protocol::{Door, Sniffed, WrongProtocol};
use crate::event::{EventData, Events, Topic};
use crate::push::ConnectionId;

/// Most bytes of a request's head.
const HEAD_BYTES: usize = 32 * 1024;
/// How long to wait after `accept` has failed, which is mostly for want of file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What connections may cost.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Open at a time; one more is closed at once.
    pub(crate) connections: usize,
    /// From the first byte of a request to the end of its head.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// For answering what was read when shutdown begins.
    pub(crate) drain: Duration,
}

/// The other end of the connection that a request came on (a request extension).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// One door: what all its connections share.
#[derive(Clone)]
pub(crate) struct Server {
    /// In events and logs.
    pub(crate) name: Arc<str>,
    /// Which door it is to clients that speak another protocol.
    pub(crate) door: Door,
    pub(crate) complaints: Arc<Complaints>,
    pub(crate) limits: Limits,
    pub(crate) events: Events,
    pub(crate) router: Router,
}

impl Server {
    /// Until `shutdown` is done and every request read by then is answered, or the drain time is over.
    pub(crate) async fn run(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let room = Arc::new(Semaphore::new(self.limits.connections));
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
                        let permit = room.clone().try_acquire_owned().ok();
                        connections.spawn(self.clone().connection(tcp, peer, permit, stopped.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(listener = %self.name, %error, "cannot accept a connection");
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
            tracing::warn!(listener = %self.name, left = connections.len(), "closing connections that did not drain");
            connections.shutdown().await;
        }
    }

    async fn connection(
        self,
        tcp: TcpStream,
        peer: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
        stopped: watch::Receiver<()>,
    ) {
        let told = Told::open(&self, peer);
        let reason = match permit {
            Some(_) => self.converse(tcp, peer, stopped).await,
            None => format!("{} connections are open already", self.limits.connections),
        };
        told.close(reason);
    }

    /// Serves one connection to its end; says why it ended.
    async fn converse(&self, tcp: TcpStream, peer: SocketAddr, mut stopped: watch::Receiver<()>) -> String {
        // Answers are one write each; waiting for more would only delay them.
        tcp.set_nodelay(true).ok();
        let phase = Arc::<Phase>::default();
        let at = match tcp.local_addr() {
            Ok(at) => at,
            Err(error) => return error.to_string(),
        };
        let sniffed = Sniffed::new(Watched { tcp, phase: phase.clone() }, self.door, at);
        let (found, io) = (sniffed.found(), TokioIo::new(sniffed));
        let service = hyper::service::service_fn(|request| self.answer(request, peer, phase.clone()));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.limits.idle).max_buf_size(HEAD_BYTES);
        let mut connection = pin!(http.serve_connection(io, service));
        let mut tick = tokio::time::interval(self.limits.head.div_f32(4.0).max(Duration::from_millis(1)));
        let mut stopping = false;
        loop {
            tokio::select! {
                ended = &mut connection => match found.get() {
                    Some(wrong) => return self.wrong(wrong, peer),
                    None => return ended.map_or_else(|e| words(&e), |()| "closed".to_owned()),
                },
                _ = stopped.changed(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = tick.tick() => if phase.overdue(self.limits.head) {
                    return "the head of a request took too long".to_owned();
                },
            }
        }
    }

    /// Another protocol than HTTP is for the operator to know, and why its connection ended.
    fn wrong(&self, wrong: WrongProtocol, peer: SocketAddr) -> String {
        if let Some(unsaid) = self.complaints.may_say_of(peer.ip()) {
            tracing::warn!(listener = %self.name, %peer, unsaid, "connection closed: {wrong}");
        }
        wrong.to_string()
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
        phase: Arc<Phase>,
    ) -> Result<Response<axum::body::Body>, Infallible> {
        phase.set(State::Busy);
        request.extensions_mut().insert(Peer(peer));
        // A `Router` is always ready.
        let response = self.router.clone().call(request).await;
        phase.set(State::Idle);
        response
    }
}

/// hyper's outermost message alone says little.
fn words(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// Tells of a connection's end even if its task is given up.
struct Told {
    events: Events,
    listener: Arc<str>,
    connection: ConnectionId,
    reason: String,
}

impl Told {
    fn open(server: &Server, peer: SocketAddr) -> Self {
        let (events, listener, connection) = (server.events.clone(), server.name.clone(), ConnectionId::next());
        events.emit(Topic::ListenerConnect, || EventData::ListenerConnect {
            listener: listener.clone(),
            connection,
            peer: peer.to_string(),
        });
        Self { events, listener, connection, reason: "given up at shutdown".to_owned() }
    }

    fn close(mut self, reason: String) {
        tracing::debug!(listener = %self.listener, connection = self.connection.0, "connection closed: {reason}");
        self.reason = reason;
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.events.emit(Topic::ListenerDisconnect, || EventData::ListenerDisconnect {
            listener: self.listener.clone(),
            connection: self.connection,
            reason: std::mem::take(&mut self.reason),
        });
    }
}

/// What a connection is at. hyper has one clock for an idle connection and for a head that dribbles in; these two have
/// very different limits here.
#[derive(Debug, Default)]
struct Phase(Mutex<State>);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Between requests.
    #[default]
    Idle,
    /// A request began then.
    Head(Instant),
    /// The router has it.
    Busy,
}

impl Phase {
    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn bytes_came(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Idle) {
            *state = State::Head(Instant::now());
        }
    }

    fn overdue(&self, limit: Duration) -> bool {
        let state = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(state, State::Head(since) if since.elapsed() > limit)
    }
}

/// Notes when bytes come.
struct Watched {
    tcp: TcpStream,
    phase: Arc<Phase>,
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.phase.bytes_came();
        }
        read
    }
}

impl AsyncWrite for Watched {
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
