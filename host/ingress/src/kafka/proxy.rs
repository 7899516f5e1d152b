//! PROXY protocol, versions 1 and 2: what a load balancer in front says of the client, before any of the client's bytes.
//!
//! In: the first bytes of a connection from a source that is listed. Out: whose connection it is, or that the socket
//! itself says so, or the flaw. Bounded by 107 bytes (version 1) or 2 KiB (version 2), and held only as far as they
//! have come. Never reads a byte behind the header. Rules: HAProxy's `proxy-protocol.txt`.

mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

use bytes::BufMut;

use barnabas_base::units::cidr::Cidr;

/// The sources that speak the PROXY protocol: their header is required, and nobody else's is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// From addresses and networks as people write them: `10.0.0.0/8`, `127.0.0.1`. Refuses, in one sentence, an empty
    /// list and what is no network.
    pub fn parse(networks: &[String]) -> Result<Self, String> {
        if networks.is_empty() {
            return Err(
                "`proxy-protocol.from` is empty: name the addresses of your load balancers, or remove it".into()
            );
        }
        let parsed = networks.iter().map(|text| {
            let cidr: Cidr = text.parse()?;
            // Sources are compared in their IPv4 form, so this one would match nobody.
            let mapped = cidr.network().to_canonical() != cidr.network();
            if mapped { Err(format!("`{text}` is an IPv4 network inside IPv6: write it as IPv4")) } else { Ok(cidr) }
        });
        parsed.collect::<Result<_, String>>().map(Self).map_err(|why| format!("`proxy-protocol.from`: {why}"))
    }

    /// Whether a connection from there begins with a header.
    pub(crate) fn contains(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.0.iter().any(|network| network.contains(source))
    }
}

/// Whose connection it is, and which address it was made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxiedAddresses {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Why the first bytes are not a header that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("its source is listed in `proxy-protocol.from`, but it sent no PROXY header")]
    Missing,
    #[error("a PROXY header of version 1 without an end after {} bytes", v1::LONGEST)]
    V1TooLong,
    #[error("malformed PROXY header of version 1: {0}")]
    V1Malformed(&'static str),
    #[error("a PROXY header of version 2 that announces {0} bytes; the cap is {cap}", cap = v2::LONGEST)]
    V2TooLong(usize),
    #[error("malformed PROXY header of version 2: {0}")]
    V2Malformed(&'static str),
    #[error("a PROXY header of version 2 whose checksum (CRC32c) is wrong")]
    V2BadChecksum,
}

/// What every header has at least, and enough to tell which version it is: the shortest line of version 1 has 15 bytes.
pub(crate) const MIN_HEADER: usize = v2::SIGNATURE.len();

/// Whether bytes look like the beginning of a header.
pub(crate) fn looks_like_header(bytes: &[u8]) -> bool {
    let begin = |of: &[u8]| bytes.iter().zip(of).all(|(there, wanted)| there == wanted);
    !bytes.is_empty() && (begin(v1::SIGNATURE) || begin(&v2::SIGNATURE))
}

/// A header that is arriving.
#[derive(Debug, Default)]
pub(crate) struct ProxyHeader {
    bytes: Vec<u8>,
}

impl ProxyHeader {
    /// How many more bytes certainly belong to it; 0 when it is whole.
    pub(crate) fn bytes_needed(&self) -> Result<usize, ProxyHeaderError> {
        match &self.bytes[..] {
            [] => Ok(MIN_HEADER),
            bytes if !looks_like_header(bytes) => Err(ProxyHeaderError::Missing),
            bytes if bytes.len() < MIN_HEADER => Ok(MIN_HEADER - bytes.len()),
            bytes if bytes.starts_with(v1::SIGNATURE) => v1::bytes_needed(bytes),
            bytes => v2::bytes_needed(bytes),
        }
    }

    /// Where the next bytes go: no more than it wants.
    pub(crate) fn buffer(&mut self, wanted: usize) -> impl BufMut {
        (&mut self.bytes).limit(wanted)
    }

    /// What the whole header says; `None` where the socket's own addresses hold.
    pub(crate) fn addresses(&self) -> Result<Option<ProxiedAddresses>, ProxyHeaderError> {
        if self.bytes.starts_with(v1::SIGNATURE) { v1::parse(&self.bytes) } else { v2::parse(&self.bytes) }
    }
}

#[cfg(test)]
mod tests;
