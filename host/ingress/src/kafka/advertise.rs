//! Which address is advertised to a client: the one it will push to.
//!
//! A client that gets an address it cannot reach never pushes, and reports no error. So the wildcard address is never
//! advertised, and a loopback name only to clients on the same machine.

use std::net::{IpAddr, SocketAddr};

/// Host and port for a connection from `peer` that arrived on `local`.
pub(crate) fn address_for(advertised: Option<(&str, u16)>, local: SocketAddr, peer: SocketAddr) -> (String, u16) {
    match advertised {
        Some((host, port)) if may_advertise(host, Some(peer)) => (host.to_owned(), port),
        _ => (local.ip().to_canonical().to_string(), local.port()),
    }
}

/// Whether this name refers to the same host for the client as for us.
pub(crate) fn may_advertise(host: &str, peer: Option<SocketAddr>) -> bool {
    !is_loopback(host) || peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

/// Checks whether this address may be configured for a listener bound there; the error is one sentence.
pub(crate) fn check(host: &str, port: u16, bind: SocketAddr) -> Result<(), String> {
    let refuse = |why: &str| Err(format!("advertised address `{host}:{port}` {why}"));
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let address = literal(host);
    if port == 0 {
        return refuse("has port 0; write the port that clients connect to");
    }
    if address.is_none() && (host.is_empty() || host.len() > 255 || !host.chars().all(is_name)) {
        return refuse("is not a host name or an IP address (without brackets) and a port");
    }
    if host == "0" || address.is_some_and(|ip| ip.is_unspecified()) {
        return refuse(
            "is the wildcard address, which no client can connect to; write an address that clients can reach",
        );
    }
    if is_loopback(host) && !bind.ip().to_canonical().is_loopback() {
        return refuse(&format!(
            "is a loopback address, but the listener is bound to {bind}; write an address that clients can reach, or \
             remove `advertised`"
        ));
    }
    Ok(())
}

fn literal(host: &str) -> Option<IpAddr> {
    host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    literal(host).is_some_and(|ip| ip.is_loopback())
        || ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"].contains(&name.as_str())
        || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("a socket address")
    }

    #[track_caller]
    fn advertises(advertised: Option<(&str, u16)>, local: &str, peer: &str, expected: (&str, u16)) {
        let (host, port) = address_for(advertised, address(local), address(peer));
        assert_eq!((host.as_str(), port), expected);
    }

    #[test]
    fn by_default_the_address_the_connection_arrived_on() {
        advertises(None, "127.0.0.1:9092", "127.0.0.1:50000", ("127.0.0.1", 9092));
        advertises(None, "10.1.2.3:9092", "10.9.9.9:50000", ("10.1.2.3", 9092));
        advertises(None, "[::ffff:10.1.2.3]:9092", "[::ffff:10.9.9.9]:5", ("10.1.2.3", 9092));
        advertises(None, "[2001:db8::1]:9092", "[2001:db8::2]:5", ("2001:db8::1", 9092));
    }

    #[test]
    fn a_configured_address_wins() {
        advertises(Some(("push.example", 443)), "10.1.2.3:9092", "10.9.9.9:5", ("push.example", 443));
        advertises(Some(("localhost", 9999)), "127.0.0.1:9092", "127.0.0.1:5", ("localhost", 9999));
    }

    #[test]
    fn a_loopback_name_is_never_advertised_to_a_remote_client() {
        for name in ["localhost", "LOCALHOST.", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "a.localhost"] {
            advertises(Some((name, 9999)), "10.1.2.3:9092", "10.9.9.9:5", ("10.1.2.3", 9092));
            advertises(Some((name, 9999)), "[::ffff:127.0.0.1]:9092", "[::ffff:127.0.0.1]:5", (name, 9999));
        }
    }

    #[test]
    fn addresses_that_no_client_reaches_are_refused() {
        let everywhere = address("0.0.0.0:9092");
        for host in ["0.0.0.0", "::", "::ffff:0.0.0.0", "0", "", "a:9092", "[::1]", "a b", "localhost", "127.0.0.1"] {
            assert!(check(host, 9092, everywhere).is_err(), "{host:?}");
        }
        assert!(check("push.example", 0, everywhere).is_err());
        for host in ["push.example", "10.1.2.3", "2001:db8::1", "my_host"] {
            assert_eq!(check(host, 9092, everywhere), Ok(()));
        }
        assert_eq!(check("localhost", 9092, address("127.0.0.1:9092")), Ok(()));
    }
}
