//! Connects to the destination of a URI: resolves the name, checks every address against the grants, dials only a
//! permitted address, and starts TLS for `https`.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::Error as TlsError;
use tokio_rustls::rustls::pki_types::ServerName;

use super::self_addresses::OwnEndpoint;
use super::target::Target;
use super::{EgressError, Grants, SelfAddresses, Trust};

/// The timeout for one address if there are others to try.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(3);

/// The future that resolves the addresses of a name.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// A resolver of host names. Its result is not trusted: every address is checked against the grants.
pub trait Resolve: Send + Sync + 'static {
    /// Resolves a name.
    fn resolve(&self, host: &str) -> Lookup;
}

/// The resolver of the platform.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, host: &str) -> Lookup {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|at| at.ip()).collect()) })
    }
}

struct ConnectorInner {
    grants: Arc<Grants>,
    resolve: Arc<dyn Resolve>,
    trust: Trust,
    self_addresses: SelfAddresses,
}

/// Opens the connections for the client of one plugin.
#[derive(Clone)]
pub struct Connector(Arc<ConnectorInner>);

impl Connector {
    /// Creates a connector for these grants, which never change, because its connections are pooled. The admin endpoint
    /// in `self_addresses` is refused whatever the grants are.
    pub fn new(grants: Arc<Grants>, resolve: Arc<dyn Resolve>, trust: Trust, self_addresses: SelfAddresses) -> Self {
        Self(Arc::new(ConnectorInner { grants, resolve, trust, self_addresses }))
    }
}

impl ConnectorInner {
    async fn connect(&self, uri: &Uri) -> Result<EgressStream, EgressError> {
        let target = Target::from_uri(uri)?;
        if !self.grants.allows(&target.host, target.port) {
            return Err(EgressError::NotGranted { host: target.host, port: target.port });
        }
        let tls = if target.tls { Some(self.trust.config().await?) } else { None };
        let tcp = dial(&self.permitted_addresses(&target).await?).await?;
        let Some(tls) = tls else {
            return Ok(EgressStream(Box::new(tcp)));
        };
        let name = ServerName::try_from(target.host.clone()).map_err(|_| EgressError::InvalidUri)?;
        let stream = TlsConnector::from(tls).connect(name, tcp).await;
        Ok(EgressStream(Box::new(stream.map_err(|error| handshake_error(target.host, &error))?)))
    }

    /// The addresses that may be dialled, at least one.
    async fn permitted_addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, EgressError> {
        let found = match target.ip() {
            Some(literal) => vec![literal],
            None => self.resolve_host(&target.host).await?,
        };
        let mut own_endpoint = None;
        let found = found.into_iter().filter(|at| match self.self_addresses.endpoint_at(*at, target.port) {
            None => true,
            Some(OwnEndpoint::Listener) if self.grants.own_listeners() => true,
            Some(door) => {
                own_endpoint = own_endpoint.or(Some(door));
                false
            }
        });
        let found: Vec<_> = found.collect();
        let (permitted, refused): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|address| self.grants.permits(&target.host, target.port, *address));
        match (permitted.is_empty(), refused.first()) {
            (true, _) if own_endpoint.is_some() => Err(own_endpoint_error(own_endpoint, target)),
            (false, _) => Ok(permitted.into_iter().map(|address| SocketAddr::new(address, target.port)).collect()),
            (true, Some(address)) => Err(EgressError::Prohibited { host: target.host.clone(), address: *address }),
            (true, None) => {
                Err(EgressError::Dns { host: target.host.clone(), reason: "the name has no address".into() })
            }
        }
    }

    async fn resolve_host(&self, host: &str) -> Result<Vec<IpAddr>, EgressError> {
        let found = self.resolve.resolve(host).await;
        found.map_err(|e| EgressError::Dns { host: host.to_owned(), reason: e.to_string() })
    }
}

fn own_endpoint_error(door: Option<OwnEndpoint>, target: &Target) -> EgressError {
    let (host, port) = (target.host.clone(), target.port);
    match door {
        Some(OwnEndpoint::Listener) => EgressError::OwnListener { host, port },
        Some(OwnEndpoint::Admin) | None => EgressError::OwnAdminEndpoint { host, port },
    }
}

/// Connects to the first address that accepts a connection.
async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, EgressError> {
    let mut last = EgressError::ConnectTimeout;
    for (left, address) in (0..addresses.len()).rev().zip(addresses) {
        let connecting = TcpStream::connect(address);
        // The last address needs no timeout here: the caller limits the total time.
        let tried = match left {
            0 => connecting.await,
            _ => tokio::time::timeout(ADDRESS_TIMEOUT, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        };
        match tried {
            Ok(tcp) => {
                // A request is one write, so Nagle's algorithm would only delay it.
                tcp.set_nodelay(true).ok();
                return Ok(tcp);
            }
            Err(error) => last = connect_error(*address, &error),
        }
    }
    Err(last)
}

fn connect_error(address: SocketAddr, error: &io::Error) -> EgressError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => EgressError::ConnectionRefused(address.to_string()),
        io::ErrorKind::TimedOut => EgressError::ConnectTimeout,
        _ => EgressError::Unreachable(format!("{address}: {error}")),
    }
}

fn handshake_error(host: String, error: &io::Error) -> EgressError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(why)) => EgressError::Certificate { host, reason: why.to_string() },
        Some(TlsError::AlertReceived(alert)) => {
            EgressError::Alert { id: u8::from(*alert), message: format!("{alert:?}") }
        }
        _ => EgressError::Tls { host, reason: error.to_string() },
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<EgressStream>;
    type Error = EgressError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, EgressError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { inner.connect(&uri).await.map(TokioIo::new) })
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, with or without TLS.
pub struct EgressStream(Box<dyn Io>);

impl Connection for EgressStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for EgressStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for EgressStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
