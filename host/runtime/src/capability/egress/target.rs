//! The destination of a URI, in the normalized form that is checked and dialled.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use super::EgressError;

/// The scheme, host and port of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// The host in lower case, without brackets and without a trailing dot.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Target {
    pub(super) fn from_uri(uri: &Uri) -> Result<Self, EgressError> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(EgressError::InvalidUri),
        };
        let authority = uri.authority().ok_or(EgressError::InvalidUri)?;
        // The userinfo of a URI can disguise its real host.
        let host = normalize_host(authority.host());
        if authority.as_str().contains('@') || host.is_empty() {
            return Err(EgressError::InvalidUri);
        }
        Ok(Self { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// The host, if it is an IP address and not a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        parse_ip(&self.host)
    }
}

/// Converts a host to lower case, and removes the brackets and a trailing dot.
pub(super) fn normalize_host(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

/// Parses an IP address. An IPv4-mapped IPv6 address becomes the IPv4 address.
pub(super) fn parse_ip(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
