//! The host's own addresses, which no grant opens: a guest that could speak to the admin endpoint would be an operator.
//!
//! In: an address that is about to be dialled. Out: whether it leads back to one of ours. Asks the system only when the
//! port is one of ours. Never trusts a name.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// Addresses on which the host itself answers.
#[derive(Clone, Debug, Default)]
pub struct Own(Arc<[SocketAddr]>);

impl Own {
    /// These, as they were bound: an unspecified one stands for every local address.
    pub fn new(bound: &[SocketAddr]) -> Self {
        Self(bound.into())
    }

    /// Whether dialling `address` at `port` ends at one of them.
    pub(super) fn has(&self, address: IpAddr, port: u16) -> bool {
        self.0.iter().any(|own| own.port() == port && leads_to(address.to_canonical(), own.ip().to_canonical()))
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
        Own::new(&[bound.parse().unwrap()]).has(address.parse().unwrap(), port)
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
        for address in ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0"] {
            assert!(has("0.0.0.0:9464", address, 9464) && has("[::]:9464", address, 9464), "{address}");
            assert!(!has("0.0.0.0:9464", address, 80), "{address}");
        }
        assert!(!has("0.0.0.0:9464", "192.0.2.1", 9464), "it is documentation's, so nobody's");
    }
}
