//! Addresses of an admin endpoint, with the token if there is one.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::token;

/// An address of a host.
#[derive(Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// Its Unix socket.
    Socket(PathBuf),
    /// TCP.
    Tcp {
        /// `host:port`.
        authority: String,
        /// The token for `/v1/`.
        token: Option<String>,
    },
}

impl AdminAddress {
    /// Parses `http://host:port`, `host:port` or the path of a socket.
    pub fn parse(text: &str, token: Option<String>) -> Result<Self> {
        if text.starts_with("https://") {
            bail!(
                "`{text}`: the admin endpoint does not support TLS; use a tunnel, for example with ssh, and give the address of its local end"
            );
        }
        let authority = text.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
        let is_authority = |text: &str| {
            !text.contains('/') && text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        };
        match authority {
            Some(authority) if is_authority(authority) => Ok(Self::Tcp { authority: authority.to_owned(), token }),
            Some(_) => bail!("`{text}` is not an address of an admin endpoint: use http://host:port"),
            None if is_authority(text) => Ok(Self::Tcp { authority: text.to_owned(), token }),
            None => Ok(Self::Socket(text.into())),
        }
    }

    /// For a configured bind address. An unspecified address is replaced by the loopback address.
    pub fn for_bound(address: SocketAddr, token: Option<String>) -> Self {
        Self::Tcp { authority: reachable(address).to_string(), token }
    }

    /// Reads the token from a file that only its owner can read.
    pub fn read_token(file: &Path) -> Result<String> {
        token::read(file).with_context(|| format!("cannot read the token {}", file.display()))
    }

    pub(super) fn connect(&self, patience: Duration) -> io::Result<AdminStream> {
        let stream = match self {
            Self::Socket(path) => AdminStream::Socket(UnixStream::connect(path)?),
            Self::Tcp { authority, .. } => AdminStream::Tcp(dial(authority, patience)?),
        };
        stream.set_timeouts(patience)?;
        Ok(stream)
    }

    /// Headers of every request.
    pub(super) fn headers(&self) -> String {
        match self {
            Self::Socket(_) => "host: localhost\r\n".into(),
            Self::Tcp { authority, token: None } => format!("host: {authority}\r\n"),
            Self::Tcp { authority, token: Some(token) } => {
                format!("host: {authority}\r\nauthorization: Bearer {token}\r\n")
            }
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Tcp { authority, .. } => write!(f, "http://{authority}"),
        }
    }
}

impl fmt::Debug for AdminAddress {
    /// Omits the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn dial(authority: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum AdminStream {
    Socket(UnixStream),
    Tcp(TcpStream),
}

impl AdminStream {
    fn set_timeouts(&self, each: Duration) -> io::Result<()> {
        match self {
            Self::Socket(stream) => stream.set_read_timeout(Some(each)).and(stream.set_write_timeout(Some(each))),
            Self::Tcp(stream) => stream.set_read_timeout(Some(each)).and(stream.set_write_timeout(Some(each))),
        }
    }
}

impl Read for AdminStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.read(buf),
            Self::Tcp(stream) => stream.read(buf),
        }
    }
}

impl Write for AdminStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.write(buf),
            Self::Tcp(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Socket(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_tcp() {
        let tcp = |authority: &str| AdminAddress::Tcp { authority: authority.into(), token: None };
        for (text, place) in [
            ("/run/barnabas/admin.sock", AdminAddress::Socket("/run/barnabas/admin.sock".into())),
            ("admin.sock", AdminAddress::Socket("admin.sock".into())),
            ("http://telemetry.example:9464/", tcp("telemetry.example:9464")),
            ("127.0.0.1:9464", tcp("127.0.0.1:9464")),
            ("[::1]:9464", tcp("[::1]:9464")),
        ] {
            assert_eq!(AdminAddress::parse(text, None).unwrap(), place, "{text}");
        }
        assert!(AdminAddress::parse("https://a:1", None).unwrap_err().to_string().contains("tunnel"));
        for text in ["http://a", "http://a:b", "http://a:1/path"] {
            assert!(AdminAddress::parse(text, None).unwrap_err().to_string().contains("host:port"), "{text}");
        }
    }

    #[test]
    fn an_unspecified_address_becomes_loopback() {
        assert_eq!(reachable(([0, 0, 0, 0], 1).into()), ([127, 0, 0, 1], 1).into());
        assert_eq!(reachable("[::]:1".parse().unwrap()), "[::1]:1".parse().unwrap());
        assert_eq!(reachable(([10, 0, 0, 1], 1).into()), ([10, 0, 0, 1], 1).into());
    }

    #[test]
    fn a_token_is_not_shown() {
        let place = AdminAddress::Tcp { authority: "a:1".into(), token: Some("secret".into()) };
        assert!(!format!("{place} {place:?}").contains("secret") && place.headers().contains("Bearer secret\r\n"));
    }
}
