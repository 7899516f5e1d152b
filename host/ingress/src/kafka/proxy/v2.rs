//! Version 2, binary: a signature, command and family, a length, addresses, and extras (type, length, value).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ProxiedAddresses, ProxyHeaderError};

pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The most bytes after the first 16: enough for what load balancers add (cloud ids, certificate names) and no more.
pub(super) const LONGEST: usize = 2 << 10;

const FIXED: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Two paths of 108 bytes each.
const UNIX_ADDRESSES: usize = 216;
/// PP2_TYPE_CRC32C (section 2.2.3).
const CRC32C: u8 = 3;

const CUT_OFF: ProxyHeaderError = ProxyHeaderError::V2Malformed("its length ends inside an address or an extra");

pub(super) fn bytes_needed(bytes: &[u8]) -> Result<usize, ProxyHeaderError> {
    let Some((&[.., command, _, high, low], behind)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(FIXED.saturating_sub(bytes.len()));
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    match command {
        LOCAL | PROXY if len > LONGEST => Err(ProxyHeaderError::V2TooLong(len)),
        LOCAL | PROXY => Ok(len.saturating_sub(behind.len())),
        _ => Err(ProxyHeaderError::V2Malformed("its command is neither LOCAL nor PROXY of version 2")),
    }
}

pub(super) fn parse(bytes: &[u8]) -> Result<Option<ProxiedAddresses>, ProxyHeaderError> {
    let (&[.., command, family, _, _], behind) = bytes.split_first_chunk::<FIXED>().ok_or(CUT_OFF)?;
    let (route, extras) = match (command, family) {
        // The load balancer's own health check: the specification requires that the rest is ignored.
        (LOCAL, _) => return Ok(None),
        (_, 0x00) => (None, behind),
        (_, 0x11) => addresses::<4>(behind, |octets| Ipv4Addr::from(octets).into())?,
        (_, 0x21) => addresses::<16>(behind, |octets| Ipv6Addr::from(octets).into())?,
        (_, 0x31) => (None, behind.get(UNIX_ADDRESSES..).ok_or(CUT_OFF)?),
        _ => {
            return Err(ProxyHeaderError::V2Malformed(
                "its family is not TCP over IPv4, TCP over IPv6, Unix stream or unknown",
            ));
        }
    };
    check_extras(bytes, extras)?;
    Ok(route)
}

/// Two addresses of `N` bytes, two ports, and the bytes that follow.
fn addresses<const N: usize>(
    bytes: &[u8],
    ip: fn([u8; N]) -> IpAddr,
) -> Result<(Option<ProxiedAddresses>, &[u8]), ProxyHeaderError> {
    let (source, rest) = bytes.split_first_chunk::<N>().ok_or(CUT_OFF)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(CUT_OFF)?;
    let (&[a, b, c, d], rest) = rest.split_first_chunk::<4>().ok_or(CUT_OFF)?;
    let source = SocketAddr::new(ip(*source), u16::from_be_bytes([a, b]));
    let destination = SocketAddr::new(ip(*destination), u16::from_be_bytes([c, d]));
    Ok((Some(ProxiedAddresses { source, destination }), rest))
}

/// Every extra must lie within the header, and the checksum must be correct if there is one.
fn check_extras(whole: &[u8], mut rest: &[u8]) -> Result<(), ProxyHeaderError> {
    while !rest.is_empty() {
        let (&[kind, high, low], behind) = rest.split_first_chunk::<3>().ok_or(CUT_OFF)?;
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (value, behind) = behind.split_at_checked(len).ok_or(CUT_OFF)?;
        if kind == CRC32C && !checksum_matches(whole, value, behind) {
            return Err(ProxyHeaderError::V2BadChecksum);
        }
        rest = behind;
    }
    Ok(())
}

/// Whether `value` is the checksum of the whole header with zeros in its place.
fn checksum_matches(whole: &[u8], value: &[u8], behind: &[u8]) -> bool {
    let before = whole.len().saturating_sub(value.len() + behind.len());
    let before = whole.get(..before).unwrap_or_default();
    let sum = [before, &[0; 4], behind].into_iter().fold(0, crc32c::crc32c_append);
    value == sum.to_be_bytes()
}
