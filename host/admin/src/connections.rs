//! Connections of one listener, with one request each.
//!
//! In: connections. Out: their requests, with an [`AdminPeer`] and a [`LongRequest`] as extensions. Bounded: a limit of
//! concurrent connections (more wait in the kernel; the socket and the TCP listener have separate limits, so that TCP
//! clients cannot block the operator), a timeout for each request, and an idle timeout for requests that may take
//! longer. Never keeps a connection open for a second request.

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

use barnabas_ingress::log_limiter::LogLimiter;
use barnabas_ingress::protocol::{ListenerKind, SniffedStream};

/// Maximum number of concurrent connections.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// Delay after an accept error, which is usually a lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(500);

/// Timeouts.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdminTimeouts {
    /// A request, from its connection to the last byte of the response, unless it is allowed to be a [`LongRequest`].
    pub(super) request: Duration,
    /// The head of a request.
    pub(super) head: Duration,
    /// A read or write of a long request.
    pub(super) idle: Duration,
}

impl Default for AdminTimeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { request: seconds(30), head: seconds(10), idle: seconds(30) }
    }
}

/// The peer according to its connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum AdminPeer {
    /// Over the Unix socket: always the user that runs the host.
    Socket { uid: u32, pid: Option<i32> },
    /// Over TCP: any client.
    Tcp(SocketAddr),
}

/// Lets a request take longer than the timeout; each of its reads and writes is then timed instead.
#[derive(Clone, Debug)]
pub(super) struct LongRequest {
    allowed: Arc<AtomicBool>,
    /// Timeout for each read of the body.
    pub(super) idle: Duration,
}

impl LongRequest {
    /// Allows it from now on.
    pub(super) fn allow(&self) {
        self.allowed.store(true, Ordering::Relaxed);
    }
}

/// Accepts TCP connections forever.
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
                        && let Some(suppressed) = complaints.permit_for(peer.ip())
                    {
                        tracing::warn!(%peer, suppressed, "connection closed: {wrong}");
                    }
                });
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

/// Accepts connections on the socket forever.
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
    tracing::warn!(%error, "admin endpoint cannot accept a connection");
    sleep(PAUSE).await;
}

/// Serves one request; there is no keep-alive, so shutdown does not have to close idle connections.
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
        Ok(Err(error)) => tracing::debug!(%error, "admin request failed"),
        Err(_) => tracing::debug!("admin request timed out after {:?}", times.request),
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

/// A stream with a timeout for writes that make no progress, in case the peer has disappeared.
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
