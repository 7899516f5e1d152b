//! From a socket that was taken to one that may speak Kafka: first the PROXY header, then TLS, where they are asked for.
//!
//! In: a socket. Out: its [`Wire`], whose it is, which address it was made to and who the client proved to be; or why
//! it goes no further. Bounded in memory by the header's cap and by rustls (64 KiB of handshake, held against the byte
//! budget until it is done), and in time by `slow_frame`. Never sets memory aside for TLS before the first byte of it has come.

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

use super::Shared;
use super::presence::{End, Presence};
use super::proxy::{self, Header, Route};
use super::stream::Wire;
use super::tls::{self, Certificates};
use crate::listener::protocol::{Guess, LONGEST, recognise};

/// At shutdown, how much longer what has begun may take.
const GRACE: Duration = Duration::from_secs(2);
/// What rustls keeps of a handshake at most, before anybody is known.
const HELLO: usize = 64 << 10;
/// The first byte of TLS: a record of its handshake.
const HANDSHAKE: u8 = 0x16;

/// A connection that may speak.
pub(crate) struct Opened {
    pub(crate) wire: Wire,
    /// The address that the client connected to, as far as anybody told us.
    pub(crate) local: SocketAddr,
    /// Who the client proved to be, by its certificate.
    pub(crate) principal: Option<Arc<str>>,
}

/// Why a connection never came to speak Kafka.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Proxy(#[from] proxy::Flaw),
    #[error(
        "the first bytes are not TLS, which this listener requires; set security.protocol=SSL or SASL_SSL at the client"
    )]
    NotTls,
    #[error("TLS handshake failed: {0}")]
    Handshake(String),
    #[error("the PROXY header or the TLS handshake was not complete after {0:?}")]
    Late(Duration),
}

/// Makes a socket ready. Tells `presence` where the client really is.
pub(crate) async fn open(
    mut stream: TcpStream,
    presence: &mut Presence,
    drain: watch::Receiver<bool>,
) -> Result<Opened, End> {
    let shared = presence.shared().clone();
    let local = tuned(&stream).map_err(End::Lost)?;
    let proxied = shared.config.proxies.as_ref().is_some_and(|proxies| proxies.list(presence.peer().ip()));
    if !proxied && shared.certificates.is_none() {
        return Ok(Opened { wire: Wire::Plain(stream), local, principal: None });
    }
    let limit = shared.config.slow_frame;
    let opening = async {
        let route = if proxied { route(&mut stream).await? } else { None };
        if let Some(route) = &route {
            presence.is_of(route.source)?;
        }
        let (wire, principal) = secured(stream, &shared, presence.peer().ip()).await?;
        Ok((route, wire, principal))
    };
    // Boxed, so that a connection which needs none of it is not as large as a handshake.
    let (route, wire, principal) = Box::pin(within(limit, drain, opening)).await?;
    let told = route.map(|route| route.destination).filter(|to| to.port() != 0 && !to.ip().is_unspecified());
    Ok(Opened { wire, local: told.unwrap_or(local), principal })
}

fn tuned(stream: &TcpStream) -> std::io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15));
    SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    stream.local_addr()
}

/// No request has been read yet, so a drain may end it after a short grace.
async fn within<T>(
    limit: Duration,
    mut drain: watch::Receiver<bool>,
    opening: impl Future<Output = Result<T, End>>,
) -> Result<T, End> {
    let drained = async {
        // The sender is gone only when the whole listener is being dropped.
        let _ = drain.wait_for(|drain| *drain).await;
        sleep(GRACE).await;
    };
    tokio::select! {
        biased;
        done = opening => done,
        () = drained => Err(End::Drained),
        () = sleep(limit) => Err(Failure::Late(limit).into()),
    }
}

/// Reads the header, and not a byte more.
async fn route(stream: &mut TcpStream) -> Result<Option<Route>, End> {
    let mut header = Header::default();
    loop {
        let wanted = header.wants().map_err(Failure::from)?;
        if wanted == 0 {
            return Ok(header.said().map_err(Failure::from)?);
        }
        let mut room = header.room(wanted);
        match stream.read_buf(&mut room).await {
            // Balancers look whether we are there by connecting and closing.
            Ok(0) if room.remaining_mut() == proxy::FIRST => return Err(End::Closed),
            Ok(0) => return Err(End::CutOff),
            Ok(_) => {}
            Err(error) => return Err(End::Lost(error)),
        }
    }
}

async fn secured(stream: TcpStream, shared: &Shared, source: IpAddr) -> Result<(Wire, Option<Arc<str>>), End> {
    match &shared.certificates {
        None => Ok((Wire::Plain(stream), None)),
        Some(certificates) => {
            if !begins_with_tls(&stream).await? {
                return Err(turned_away(stream, shared).await);
            }
            let mut hold = shared.budget.hold_for(source);
            hold.grow(HELLO).await;
            handshake(stream, certificates).await
        }
    }
}

/// Whether the first byte is one of TLS. Waits for it before memory is set aside.
async fn begins_with_tls(stream: &TcpStream) -> Result<bool, End> {
    let mut first = [0];
    match stream.peek(&mut first).await.map_err(End::Lost)? {
        0 => Err(End::Closed),
        _ => Ok(first == [HANDSHAKE]),
    }
}

/// Reads what is not TLS as far as it takes to say what it is instead, but not for long: it is closed in any case.
async fn turned_away(mut stream: TcpStream, shared: &Shared) -> End {
    let mut first = Vec::with_capacity(LONGEST);
    let reading = async {
        while recognise(&first) == Guess::Open {
            let wanted = LONGEST - first.len();
            match stream.read_buf(&mut (&mut first).limit(wanted)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
    };
    let _ = timeout(GRACE, reading).await;
    let Guess::Known(protocol) = recognise(&first) else { return Failure::NotTls.into() };
    let wrong = shared.wrong(protocol);
    Wire::Plain(stream).turn_away(&wrong).await;
    End::WrongProtocol(wrong)
}

async fn handshake(stream: TcpStream, certificates: &Arc<Certificates>) -> Result<(Wire, Option<Arc<str>>), End> {
    let stream = certificates.acceptor().await.accept(stream).await;
    let stream = stream.map_err(|error| Failure::Handshake(tls::cause(&error)))?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let principal = shown.map(|certificate| tls::principal(certificate)).transpose().map_err(Failure::Handshake)?;
    Ok((Wire::Tls(Box::new(stream)), principal))
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Opening(failure)
    }
}
