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
pub struct Own {
    admin: Arc<[SocketAddr]>,
    listeners: Arc<[SocketAddr]>,
}

/// What dialling an address would reach of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Admin,
    Listener,
}

impl Own {
    /// The admin endpoint, and the listeners for clients of whatever protocol.
    pub fn new(admin: &[SocketAddr], listeners: &[SocketAddr]) -> Self {
        Self { admin: admin.into(), listeners: listeners.into() }
    }

    /// Where dialling `address` at `port` ends, if that is in this host.
    pub(super) fn door(&self, address: IpAddr, port: u16) -> Option<Door> {
        let leads =
            |bound: &SocketAddr| bound.port() == port && leads_to(address.to_canonical(), bound.ip().to_canonical());
        if self.admin.iter().any(leads) {
            return Some(Door::Admin);
        }
        self.listeners.iter().any(leads).then_some(Door::Listener)
    }
}

fn leads_to(address: IpAddr, own: IpAddr) -> bool {
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

    fn has(bound: &str, address: &str, port: u16) -> bool {
        let (bound, address) = ([bound.parse().unwrap()], address.parse().unwrap());
        let admin = Own::new(&bound, &[]).door(address, port);
        let listener = Own::new(&[], &bound).door(address, port);
        assert_eq!(admin.is_some(), listener.is_some());
        assert!(admin.is_none_or(|door| door == Door::Admin) && listener.is_none_or(|door| door == Door::Listener));
        admin.is_some()
    }

    #[test]
    fn an_address_of_both_is_the_admin_endpoint() {
        let bound = ["127.0.0.1:9464".parse().unwrap()];
        assert_eq!(Own::new(&bound, &bound).door("127.0.0.1".parse().unwrap(), 9464), Some(Door::Admin));
    }

    #[test]
    fn a_bound_address_is_itself_however_it_is_written() {
        for address in ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::"] {
            assert!(has("127.0.0.1:9464", address, 9464), "{address}");
            assert!(!has("127.0.0.1:9464", address, 9465), "{address}");
        }
        for address in ["127.0.0.2", "192.0.2.1", "::1"] {
            assert!(!has("127.0.0.1:9464", address, 9464), "{address}");
        }
    }

    #[test]
    fn every_local_address_stands_for_an_unspecified_one() {
        for address in ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0", "::", "::1"] {
            assert!(has("0.0.0.0:9464", address, 9464) && has("[::]:9464", address, 9464), "{address}");
            assert!(!has("0.0.0.0:9464", address, 80), "{address}");
        }
        assert!(!has("0.0.0.0:9464", "192.0.2.1", 9464), "it is documentation's, so nobody's");
    }
}
