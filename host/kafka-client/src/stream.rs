//! The byte stream of a connection: plain TCP, or TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::KafkaClientOptions;

/// An open connection.
#[derive(Debug)]
pub(super) enum ClientStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl ClientStream {
    /// Connects to the first address of the host name that accepts the connection.
    pub(super) async fn open(address: &str, options: &KafkaClientOptions) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for peer in lookup_host(address).await? {
            match connect(peer, options).await {
                Ok(stream) => return Self::with_tls(stream, address, options).await,
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Adds TLS if configured: the broker's certificate must be for the host name in `address`.
    async fn with_tls(stream: TcpStream, address: &str, options: &KafkaClientOptions) -> io::Result<Self> {
        let Some(tls) = &options.security.tls else { return Ok(Self::Plain(stream)) };
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let config = tls.config().map_err(|error| invalid(format!("{error:#}")))?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|error| invalid(error.to_string()))?;
        Ok(Self::Tls(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
    }
}

async fn connect(peer: SocketAddr, options: &KafkaClientOptions) -> io::Result<TcpStream> {
    let stream = match options.source {
        None => TcpStream::connect(peer).await?,
        Some(source) => {
            let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind(SocketAddr::new(source, 0))?;
            socket.connect(peer).await?
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
