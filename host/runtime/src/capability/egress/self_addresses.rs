//! The addresses of the host itself. No grant opens the admin endpoint: a guest that could access it would have the
//! rights of an operator. The listeners need the grant `own-listeners`, because whatever a receiver sends there returns
//! to it.
//!
//! In: an address that is about to be dialled. Out: the endpoint of the host that it reaches, if any. It queries the
//! operating system only if the port is one of ours. Never trusts a name.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// The addresses that the host has bound. An unspecified address means every local address.
#[derive(Clone, Debug, Default)]
pub struct SelfAddresses {
    admin: Arc<[SocketAddr]>,
    listeners: Arc<[SocketAddr]>,
}

/// The endpoint of the host that an address reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnEndpoint {
    Admin,
    Listener,
}

impl SelfAddresses {
    /// The addresses of the admin endpoint, and of the listeners of all protocols.
    pub fn new(admin: &[SocketAddr], listeners: &[SocketAddr]) -> Self {
        Self { admin: admin.into(), listeners: listeners.into() }
    }

    /// The endpoint of this host that `address` and `port` reach, if any.
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
    // A connection to the unspecified address reaches this machine.
    address == own || address.is_unspecified() || own.is_unspecified() && is_local(address)
}

/// Whether the address is local: only a local address can be bound, and binding sends no packet. Any other failure is
/// inconclusive, so it counts as local.
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
        assert!(!is_own("0.0.0.0:9464", "192.0.2.1", 9464), "it is reserved for documentation");
    }
}
