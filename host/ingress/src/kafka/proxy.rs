//! PROXY protocol, versions 1 and 2: the client's address, sent by a load balancer before any of the client's bytes.
//!
//! In: the first bytes of a connection from a trusted source. Out: the client's address, or that the socket's own
//! addresses count, or the error. Bounded by 107 bytes (version 1) or 2 KiB (version 2); memory follows what has
//! arrived. Never reads a byte beyond the header. Specification: HAProxy's `proxy-protocol.txt`.

mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

use bytes::BufMut;

use barnabas_base::units::cidr::Cidr;

/// The sources that must send a PROXY header; a header from any other source is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Cidr>);

impl TrustedProxies {
    /// Parses addresses and networks such as `10.0.0.0/8` and `127.0.0.1`. The error for an empty list or an invalid
    /// network is one sentence.
    pub fn parse(networks: &[String]) -> Result<Self, String> {
        if networks.is_empty() {
            return Err(
                "`proxy-protocol.from` is empty: list the addresses of your load balancers, or remove it".into()
            );
        }
        let parsed = networks.iter().map(|text| {
            let cidr: Cidr = text.parse()?;
            // Sources are compared in their IPv4 form, so this network would match none.
            let mapped = cidr.network().to_canonical() != cidr.network();
            if mapped { Err(format!("`{text}` is an IPv4 network inside IPv6: write it as IPv4")) } else { Ok(cidr) }
        });
        parsed.collect::<Result<_, String>>().map(Self).map_err(|why| format!("`proxy-protocol.from`: {why}"))
    }

    /// Whether a connection from this address begins with a header.
    pub(crate) fn contains(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.0.iter().any(|network| network.contains(source))
    }
}

/// The client's address, and the address that it connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxiedAddresses {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// Why the first bytes are not a valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyHeaderError {
    #[error("the source is listed in `proxy-protocol.from`, but it sent no PROXY header")]
    Missing,
    #[error("PROXY header of version 1 without a line end after {} bytes", v1::LONGEST)]
    V1TooLong,
    #[error("malformed PROXY header of version 1: {0}")]
    V1Malformed(&'static str),
    #[error("PROXY header of version 2 announces {0} bytes; the limit is {cap}", cap = v2::LONGEST)]
    V2TooLong(usize),
    #[error("malformed PROXY header of version 2: {0}")]
    V2Malformed(&'static str),
    #[error("PROXY header of version 2 has a wrong checksum (CRC32c)")]
    V2BadChecksum,
}

/// The minimum length of a header, which is enough to distinguish the versions: the shortest line of version 1 has 15
/// bytes.
pub(crate) const MIN_HEADER: usize = v2::SIGNATURE.len();

/// Whether these bytes can be the beginning of a header.
pub(crate) fn looks_like_header(bytes: &[u8]) -> bool {
    let begin = |of: &[u8]| bytes.iter().zip(of).all(|(there, wanted)| there == wanted);
    !bytes.is_empty() && (begin(v1::SIGNATURE) || begin(&v2::SIGNATURE))
}

/// A header that is being received.
#[derive(Debug, Default)]
pub(crate) struct ProxyHeader {
    bytes: Vec<u8>,
}

impl ProxyHeader {
    /// How many more bytes certainly belong to the header; 0 when it is complete.
    pub(crate) fn bytes_needed(&self) -> Result<usize, ProxyHeaderError> {
        match &self.bytes[..] {
            [] => Ok(MIN_HEADER),
            bytes if !looks_like_header(bytes) => Err(ProxyHeaderError::Missing),
            bytes if bytes.len() < MIN_HEADER => Ok(MIN_HEADER - bytes.len()),
            bytes if bytes.starts_with(v1::SIGNATURE) => v1::bytes_needed(bytes),
            bytes => v2::bytes_needed(bytes),
        }
    }

    /// The buffer for the next bytes, limited to those that belong to the header.
    pub(crate) fn buffer(&mut self, wanted: usize) -> impl BufMut {
        (&mut self.bytes).limit(wanted)
    }

    /// The addresses in a complete header; `None` if the socket's own addresses count.
    pub(crate) fn addresses(&self) -> Result<Option<ProxiedAddresses>, ProxyHeaderError> {
        if self.bytes.starts_with(v1::SIGNATURE) { v1::parse(&self.bytes) } else { v2::parse(&self.bytes) }
    }
}

#[cfg(test)]
mod tests;
