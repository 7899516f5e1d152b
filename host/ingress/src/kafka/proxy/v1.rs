//! Version 1: one line of text, such as `PROXY TCP4 203.0.113.7 10.0.0.1 51234 9092\r\n`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{ProxiedAddresses, ProxyHeaderError};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// The longest line, its end included (section 2.1).
pub(super) const LONGEST: usize = 107;
/// `PROXY UNKNOWN` and its line end.
const SHORTEST: usize = 15;

pub(super) fn bytes_needed(line: &[u8]) -> Result<usize, ProxyHeaderError> {
    match line.iter().position(|byte| *byte == b'\n') {
        Some(at) if at + 1 == line.len() && line.ends_with(b"\r\n") => Ok(0),
        Some(_) => Err(ProxyHeaderError::V1Malformed("it does not end with one carriage return and line feed")),
        None if line.len() >= LONGEST => Err(ProxyHeaderError::V1TooLong),
        None if line.len() < SHORTEST => Ok(SHORTEST - line.len()),
        None if line.ends_with(b"\r") || line.len() + 1 == LONGEST => Ok(1),
        // Both bytes of the line end are still missing.
        None => Ok(2),
    }
}

pub(super) fn parse(line: &[u8]) -> Result<Option<ProxiedAddresses>, ProxyHeaderError> {
    let text = line.strip_suffix(b"\r\n").and_then(|line| std::str::from_utf8(line).ok());
    let mut words = text.ok_or(ProxyHeaderError::V1Malformed("it is not text"))?.split(' ').skip(1);
    match words.next() {
        // The specification requires that the rest of this line is ignored.
        Some("UNKNOWN") => Ok(None),
        Some("TCP4") => addresses::<Ipv4Addr>(words).map(Some),
        Some("TCP6") => addresses::<Ipv6Addr>(words).map(Some),
        _ => Err(ProxyHeaderError::V1Malformed("its protocol is not TCP4, TCP6 or UNKNOWN")),
    }
}

fn addresses<'a, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<ProxiedAddresses, ProxyHeaderError> {
    let mut word = || words.next().unwrap_or_default();
    let (source, destination) = (address::<A>(word())?, address::<A>(word())?);
    let (from, to) = (port(word())?, port(word())?);
    match words.next() {
        None => Ok(ProxiedAddresses {
            source: SocketAddr::new(source, from),
            destination: SocketAddr::new(destination, to),
        }),
        Some(_) => Err(ProxyHeaderError::V1Malformed("something follows its second port")),
    }
}

fn address<A: FromStr + Into<IpAddr>>(word: &str) -> Result<IpAddr, ProxyHeaderError> {
    word.parse::<A>()
        .map(Into::into)
        .map_err(|_| ProxyHeaderError::V1Malformed("an address does not match its protocol"))
}

/// Digits only, without a leading zero.
fn port(word: &str) -> Result<u16, ProxyHeaderError> {
    let plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    let port = if plain { word.parse().ok() } else { None };
    port.ok_or(ProxyHeaderError::V1Malformed("a port is not a number from 0 to 65535"))
}
