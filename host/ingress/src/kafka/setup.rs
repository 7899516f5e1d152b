//! Prepares an accepted socket for Kafka requests: first the PROXY header, then TLS, where configured.
//!
//! In: a socket. Out: its [`ConnectionStream`], the client's address, the address that it connected to and the
//! principal of its certificate; or why the connection closes. Bounded in memory by the header's cap and by rustls (64
//! KiB for a handshake, reserved in the byte budget until it is complete), and in time by `slow_frame`. Never reserves
//! memory for TLS before its first byte has arrived.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BufMut as _;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::ListenerContext;
use super::connection_guard::{CloseReason, ConnectionGuard};
use super::proxy::{self, ProxiedAddresses, ProxyHeader};
use super::stream::ConnectionStream;
use super::tls::{self, Certificates};
use crate::protocol::{MAX_PREFIX, ProtocolGuess, recognise};

/// At shutdown, how much longer the preparation may take.
const GRACE: Duration = Duration::from_secs(2);
/// The most memory that rustls needs for a handshake, before the client is known.
const HANDSHAKE_BYTES: usize = 64 << 10;
/// The first byte of TLS: a record of its handshake.
const TLS_HANDSHAKE_RECORD: u8 = 0x16;

/// A connection that is ready for Kafka requests.
pub(crate) struct PreparedConnection {
    pub(crate) stream: ConnectionStream,
    /// The address that the client connected to, according to the load balancer or else the socket.
    pub(crate) local: SocketAddr,
    /// The principal of the client's certificate.
    pub(crate) principal: Option<Arc<str>>,
}

/// Why a connection closed before its first Kafka request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("{0}")]
    Proxy(#[from] proxy::ProxyHeaderError),
    #[error(
        "the first bytes are not TLS, which this listener requires; set security.protocol=SSL or SASL_SSL at the client"
    )]
    NotTls,
    #[error("TLS handshake failed: {0}")]
    Handshake(String),
    #[error("timed out after {0:?} waiting for the PROXY header or the TLS handshake")]
    TimedOut(Duration),
}

/// Prepares a socket, and updates `guard` with the client's address.
pub(crate) async fn prepare(
    mut stream: TcpStream,
    guard: &mut ConnectionGuard,
    drain: watch::Receiver<bool>,
) -> Result<PreparedConnection, CloseReason> {
    let shared = guard.shared().clone();
    let local = set_socket_options(&stream).map_err(CloseReason::Lost)?;
    let proxied = shared.config.proxies.as_ref().is_some_and(|proxies| proxies.contains(guard.peer().ip()));
    if !proxied && shared.certificates.is_none() {
        return Ok(PreparedConnection { stream: ConnectionStream::Plain(stream), local, principal: None });
    }
    let limit = shared.config.slow_frame;
    let opening = async {
        let route = if proxied { read_proxy_header(&mut stream).await? } else { None };
        if let Some(route) = &route {
            guard.set_source(route.source)?;
        }
        let (wire, principal) = accept_tls(stream, &shared, guard.peer().ip()).await?;
        Ok((route, wire, principal))
    };
    // Boxed, so that a connection that needs none of this does not have the size of a handshake.
    let (route, wire, principal) = Box::pin(with_time_limit(limit, drain, opening)).await?;
    let destination = route.map(|route| route.destination).filter(|to| to.port() != 0 && !to.ip().is_unspecified());
    Ok(PreparedConnection { stream: wire, local: destination.unwrap_or(local), principal })
}

fn set_socket_options(stream: &TcpStream) -> std::io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    stream.local_addr()
}

/// No request has been read yet, so a drain may close the connection after a short grace period.
async fn with_time_limit<T>(
    limit: Duration,
    mut drain: watch::Receiver<bool>,
    opening: impl Future<Output = Result<T, CloseReason>>,
) -> Result<T, CloseReason> {
    let drained = async {
        // The sender is dropped only when the whole listener is dropped.
        let _ = drain.wait_for(|drain| *drain).await;
        sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        done = opening => done,
        () = drained => Err(CloseReason::Drained),
        () = sleep(limit) => Err(SetupError::TimedOut(limit).into()),
    }
}

/// Reads the header, and not a byte more.
async fn read_proxy_header(stream: &mut TcpStream) -> Result<Option<ProxiedAddresses>, CloseReason> {
    let mut header = ProxyHeader::default();
    loop {
        let wanted = header.bytes_needed().map_err(SetupError::from)?;
        if wanted == 0 {
            return Ok(header.addresses().map_err(SetupError::from)?);
        }
        let mut room = header.buffer(wanted);
        match stream.read_buf(&mut room).await {
            // Load balancers check the listener's health by connecting and closing.
            Ok(0) if room.remaining_mut() == proxy::MIN_HEADER => return Err(CloseReason::Closed),
            Ok(0) => return Err(CloseReason::ClosedMidFrame),
            Ok(_) => {}
            Err(error) => return Err(CloseReason::Lost(error)),
        }
    }
}

async fn accept_tls(
    stream: TcpStream,
    shared: &ListenerContext,
    source: IpAddr,
) -> Result<(ConnectionStream, Option<Arc<str>>), CloseReason> {
    match &shared.certificates {
        None => Ok((ConnectionStream::Plain(stream), None)),
        Some(certificates) => {
            if !begins_with_tls(&stream).await? {
                return Err(reject_other_protocol(stream, shared).await);
            }
            let mut hold = shared.budget.hold_for(source);
            hold.grow(HANDSHAKE_BYTES).await;
            tls_handshake(stream, certificates).await
        }
    }
}

/// Whether the first byte is one of TLS. Waits for it before memory is reserved.
async fn begins_with_tls(stream: &TcpStream) -> Result<bool, CloseReason> {
    let mut first = [0];
    match stream.peek(&mut first).await.map_err(CloseReason::Lost)? {
        0 => Err(CloseReason::Closed),
        _ => Ok(first == [TLS_HANDSHAKE_RECORD]),
    }
}

/// Reads enough of a non-TLS stream to name its protocol, but only for a short time: the connection closes in any case.
async fn reject_other_protocol(mut stream: TcpStream, shared: &ListenerContext) -> CloseReason {
    let mut first = Vec::with_capacity(MAX_PREFIX);
    let reading = async {
        while recognise(&first) == ProtocolGuess::Incomplete {
            let wanted = MAX_PREFIX - first.len();
            match stream.read_buf(&mut (&mut first).limit(wanted)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
    };
    let _ = timeout(GRACE, reading).await;
    let ProtocolGuess::Known(protocol) = recognise(&first) else { return SetupError::NotTls.into() };
    let wrong = shared.wrong_protocol(protocol);
    ConnectionStream::Plain(stream).reject(&wrong).await;
    CloseReason::WrongProtocol(wrong)
}

async fn tls_handshake(
    stream: TcpStream,
    certificates: &Arc<Certificates>,
) -> Result<(ConnectionStream, Option<Arc<str>>), CloseReason> {
    let stream = certificates.acceptor().await.accept(stream).await;
    let stream = stream.map_err(|error| SetupError::Handshake(tls::describe_handshake_error(&error)))?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let principal =
        certificate.map(|certificate| tls::principal(certificate)).transpose().map_err(SetupError::Handshake)?;
    Ok((ConnectionStream::Tls(Box::new(stream)), principal))
}

impl From<SetupError> for CloseReason {
    fn from(failure: SetupError) -> Self {
        Self::SetupFailed(failure)
    }
}
