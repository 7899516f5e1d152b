//! The host's own addresses. No grant opens the admin endpoint: a guest that could speak to it would be an operator. The
//! listeners for clients want a grant of their own: what a receiver sends there comes back to it.
//!
//! In: an address that is about to be dialled. Out: whether it leads back to one of ours. Asks the system only when the
//! port is one of ours. Never trusts a name.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// Addresses on which the host itself answers, as they were bound: an unspecified one stands for every local address.
#[derive(Clone, Debug, Default)]
pub struct SelfAddresses {
    admin: Arc<[SocketAddr]>,
    listeners: Arc<[SocketAddr]>,
}

/// What dialling an address would reach of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnEndpoint {
    Admin,
    Listener,
}

impl SelfAddresses {
    /// The admin endpoint, and the listeners for clients of whatever protocol.
    pub fn new(admin: &[SocketAddr], listeners: &[SocketAddr]) -> Self {
        Self { admin: admin.into(), listeners: listeners.into() }
    }

    /// Where dialling `address` at `port` ends, if that is in this host.
    pub(super) fn endpoint_at(&self, address: IpAddr, port: u16) -> Option<OwnEndpoint> {
        let matches =
            |bound: &SocketAddr| bound.port() == port && reaches(address.to_canonical(), bound.ip().to_canonical());
        if self.admin.iter().any(matches) {
            return Some(OwnEndpoint::Admin);
        }
        self.listeners.iter().any(matches).then_some(OwnEndpoint::Listener)
    }
}

fn reaches(address: IpAddr, own: IpAddr) -> bool {
    // Dialling "any address" is dialling this machine.
    address == own || address.is_unspecified() || own.is_unspecified() && is_local(address)
}

/// Only a local address can be bound; no packet is sent. Any other failure tells nothing, so it counts as local.
fn is_local(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_own(bound: &str, address: &str, port: u16) -> bool {
        let (bound, address) = ([bound.parse().unwrap()], address.parse().unwrap());
        let admin = SelfAddresses::new(&bound, &[]).endpoint_at(address, port);
        let listener = SelfAddresses::new(&[], &bound).endpoint_at(address, port);
        assert_eq!(admin.is_some(), listener.is_some());
        assert!(
            admin.is_none_or(|door| door == OwnEndpoint::Admin)
                && listener.is_none_or(|door| door == OwnEndpoint::Listener)
        );
        admin.is_some()
    }

    #[test]
    fn an_address_of_both_kinds_is_the_admin_endpoint() {
        let bound = ["127.0.0.1:9464".parse().unwrap()];
        assert_eq!(
            SelfAddresses::new(&bound, &bound).endpoint_at("127.0.0.1".parse().unwrap(), 9464),
            Some(OwnEndpoint::Admin)
        );
    }

    #[test]
    fn a_bound_address_is_recognized_in_every_notation() {
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::"] {
            assert!(is_own("127.0.0.1:9464", address, 9464), "{address}");
            assert!(!is_own("127.0.0.1:9464", address, 9465), "{address}");
        }
        for address in ["127.0.0.2", "192.0.2.1", "::1"] {
            assert!(!is_own("127.0.0.1:9464", address, 9464), "{address}");
        }
    }

    #[test]
    fn a_listener_on_the_unspecified_address_is_reached_at_every_local_address() {
        for address in ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0", "::", "::1"] {
            assert!(is_own("0.0.0.0:9464", address, 9464) && is_own("[::]:9464", address, 9464), "{address}");
            assert!(!is_own("0.0.0.0:9464", address, 80), "{address}");
        }
        assert!(!is_own("0.0.0.0:9464", "192.0.2.1", 9464), "it is documentation's, so nobody's");
    }
}
