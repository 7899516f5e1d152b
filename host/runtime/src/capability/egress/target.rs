//! Where a URI points, in the one form in which it is judged and dialled.

use std::net::IpAddr;

use http::Uri;
use http::uri::Scheme;

use super::EgressError;

/// Scheme, host and port of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) tls: bool,
    /// Lower case, no brackets, no trailing dot.
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
        // Userinfo is how a URI is made to look as if it pointed elsewhere.
        let host = normalize_host(authority.host());
        if authority.as_str().contains('@') || host.is_empty() {
            return Err(EgressError::InvalidUri);
        }
        Ok(Self { tls, host, port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }) })
    }

    /// The host, if it is an address rather than a name.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        parse_ip(&self.host)
    }
}

/// Lower case, no brackets, no trailing dot.
pub(super) fn normalize_host(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

/// An address literal; the IPv6 way of writing an IPv4 address is that IPv4 address.
pub(super) fn parse_ip(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
