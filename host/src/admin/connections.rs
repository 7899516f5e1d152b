//! Visitors of one way in, each on a connection of its own.
//!
//! In: connections. Out: their requests, with a [`Visitor`] and a [`Stay`] beside them. Bounded by a cap on visitors at a
//! time (more wait in the kernel; each way in has its own, so that strangers cannot keep the operator out), a time for
//! each visit, and a time without progress for those that may stay longer. Never keeps a connection for a second
//! request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tower_service::Service as _;

use crate::listener::log_limiter::LogLimiter;
use crate::listener::protocol::{ListenerKind, SniffedStream};

/// Most visitors at a time.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// How long to wait when no connection can be taken, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdminTimeouts {
    /// A visit, from its connection to its last byte, unless it may [`Stay`].
    pub(super) request: Duration,
    /// The head of its request.
    pub(super) head: Duration,
    /// A write or a read of one that may stay.
    pub(super) idle: Duration,
}

impl Default for AdminTimeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { request: seconds(30), head: seconds(10), idle: seconds(30) }
    }
}

/// Who asks, as the connection tells it.
#[derive(Clone, Copy, Debug)]
pub(super) enum AdminPeer {
    /// By the Unix socket: only the host's own user gets here.
    Socket { uid: u32, pid: Option<i32> },
    /// By TCP: anybody.
    Tcp(SocketAddr),
}

/// Lets a visit take longer than others; each of its reads and writes is then timed instead.
#[derive(Clone, Debug)]
pub(super) struct LongRequest {
    allowed: Arc<AtomicBool>,
    /// For each read of a body.
    pub(super) idle: Duration,
}

impl LongRequest {
    /// From now on.
    pub(super) fn allow(&self) {
        self.allowed.store(true, Ordering::Relaxed);
    }
}

/// Takes visitors by TCP for ever.
pub(super) async fn accept_tcp(
    listener: &TcpListener,
    router: &Router,
    times: AdminTimeouts,
    visits: &mut JoinSet<()>,
) {
    let complaints = Arc::<LogLimiter>::default();
    loop {
        wait_for_capacity(visits).await;
        match listener.accept().await.and_then(|(stream, peer)| Ok((stream.local_addr()?, stream, peer))) {
            Ok((at, stream, peer)) => {
                let stream = SniffedStream::new(stream, ListenerKind::Admin, at);
                let found = stream.detected();
                let (visit, complaints) =
                    (serve_connection(stream, AdminPeer::Tcp(peer), router.clone(), times), complaints.clone());
                visits.spawn(async move {
                    visit.await;
                    if let Some(wrong) = found.get()
                        && let Some(unsaid) = complaints.permit_for(peer.ip())
                    {
                        tracing::warn!(%peer, unsaid, "connection closed: {wrong}");
                    }
                });
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

/// Takes visitors by the socket for ever.
pub(super) async fn accept_unix(
    listener: &UnixListener,
    router: &Router,
    times: AdminTimeouts,
    visits: &mut JoinSet<()>,
) {
    loop {
        wait_for_capacity(visits).await;
        let accepted = listener.accept().await.and_then(|(stream, _)| Ok((stream.peer_cred()?, stream)));
        match accepted {
            Ok((peer, stream)) => {
                let visitor = AdminPeer::Socket { uid: peer.uid(), pid: peer.pid() };
                visits.spawn(serve_connection(stream, visitor, router.clone(), times));
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn wait_for_capacity(visits: &mut JoinSet<()>) {
    while visits.try_join_next().is_some() {}
    while visits.len() >= MAX_CONNECTIONS {
        visits.join_next().await;
    }
}

async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "the admin endpoint cannot take a connection");
    sleep(PAUSE).await;
}

/// One request, one answer: nobody stays, so nobody has to be sent away.
async fn serve_connection<S>(stream: S, visitor: AdminPeer, router: Router, times: AdminTimeouts)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let longer = Arc::new(AtomicBool::new(false));
    let stay = LongRequest { allowed: longer.clone(), idle: times.idle };
    let service = service_fn(move |request| respond(router.clone(), request, visitor, stay.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .keep_alive(false)
        .serve_connection(TokioIo::new(StallTimeout::new(stream, times.idle)), service);
    let mut connection = pin!(connection);
    let done = match timeout(times.request, connection.as_mut()).await {
        Err(_) if longer.load(Ordering::Relaxed) => Ok(connection.await),
        done => done,
    };
    match done {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a visit of the admin endpoint failed"),
        Err(_) => tracing::debug!("a visit of the admin endpoint took longer than {:?}", times.request),
    }
}

async fn respond(
    mut router: Router,
    mut request: Request<Incoming>,
    visitor: AdminPeer,
    stay: LongRequest,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(visitor);
    request.extensions_mut().insert(stay);
    router.call(request).await
}

/// A stream on which a write that makes no progress for some time is an error: its reader has gone without saying so.
struct StallTimeout<S> {
    stream: S,
    idle: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> StallTimeout<S> {
    fn new(stream: S, idle: Duration) -> Self {
        Self { stream, idle, stalled: None }
    }

    fn check_stall<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let idle = self.idle;
        ready!(self.stalled.get_or_insert_with(|| Box::pin(sleep(idle))).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.check_stall(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_reads_ends() {
        let (ours, theirs) = tokio::io::duplex(16);
        let mut timed = StallTimeout::new(ours, Duration::from_secs(30));
        timed.write_all(&[0; 16]).await.unwrap();
        let error = timed.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(theirs);
    }
}
