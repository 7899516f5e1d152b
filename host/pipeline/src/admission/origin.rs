//! Compact clients: facts that thousands of clients share are stored once.
//!
//! In: a [`Client`]. Out: a [`CompactClient`], and the client again on request. Bounded: in the number of shared
//! origins; a client with a further one stores it alone. IPv6 flow information and scope are not stored.

use std::collections::HashSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use crate::push::Client;
use barnabas_base::InstanceId;

/// The most origins that are shared. Clients choose their software's name, so there must be a limit.
const MAX_SHARED: usize = 1_024;

/// The facts that are the same for all clients of one program on one listener.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Origin {
    software_name: Option<Arc<str>>,
    software_version: Option<Arc<str>>,
    principal: Option<Arc<str>>,
    listener: Option<Arc<str>>,
}

/// A client without its instance id.
#[derive(Debug)]
pub(super) struct CompactClient {
    client_id: Option<Arc<str>>,
    origin: Arc<Origin>,
    /// IPv4 as an IPv4-mapped address.
    address: [u8; 16],
    port: u16,
    /// Whether address and port are known.
    has_source: bool,
}

#[derive(Debug, Default)]
pub(super) struct Origins(HashSet<Arc<Origin>>);

impl Origins {
    pub(super) fn compact(&mut self, client: &Client) -> CompactClient {
        let (address, port) = client.source.map_or(([0; 16], 0), |source| (octets(source), source.port()));
        CompactClient {
            client_id: client.client_id.clone(),
            origin: self.intern(client),
            address,
            port,
            has_source: client.source.is_some(),
        }
    }

    fn intern(&mut self, client: &Client) -> Arc<Origin> {
        let origin = Origin {
            software_name: client.software_name.clone(),
            software_version: client.software_version.clone(),
            principal: client.principal.clone(),
            listener: client.listener.clone(),
        };
        if let Some(known) = self.0.get(&origin) {
            return known.clone();
        }
        let origin = Arc::new(origin);
        if self.0.len() >= MAX_SHARED {
            self.0.retain(|known| Arc::strong_count(known) > 1);
        }
        if self.0.len() < MAX_SHARED {
            self.0.insert(origin.clone());
        }
        origin
    }
}

impl CompactClient {
    /// The original client, with this id.
    pub(super) fn client(&self, id: InstanceId) -> Client {
        let Origin { software_name, software_version, principal, listener } = &*self.origin;
        let address = Ipv6Addr::from(self.address).to_canonical();
        Client {
            instance_id: Some(id),
            client_id: self.client_id.clone(),
            software_name: software_name.clone(),
            software_version: software_version.clone(),
            source: self.has_source.then(|| SocketAddr::new(address, self.port)),
            principal: principal.clone(),
            listener: listener.clone(),
        }
    }
}

fn octets(source: SocketAddr) -> [u8; 16] {
    match source {
        SocketAddr::V4(v4) => v4.ip().to_ipv6_mapped().octets(),
        SocketAddr::V6(v6) => v6.ip().octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(software: &str, source: &str) -> Client {
        Client {
            instance_id: Some(InstanceId::from_bytes([7; 16])),
            client_id: Some("c".into()),
            software_name: Some(software.into()),
            source: source.parse().ok(),
            listener: Some("kafka".into()),
            ..Client::default()
        }
    }

    #[test]
    fn a_client_survives_the_round_trip() {
        let mut origins = Origins::default();
        for source in ["10.0.0.1:9092", "[2001:db8::7]:1", "nowhere"] {
            let client = client("librdkafka", source);
            assert_eq!(origins.compact(&client).client(InstanceId::from_bytes([7; 16])), client);
        }
        assert_eq!(origins.0.len(), 1, "one program on one listener");
    }

    #[test]
    fn shared_origins_obeyed_and_violated() {
        let mut origins = Origins::default();
        let kept: Vec<CompactClient> = (0..MAX_SHARED).map(|n| origins.compact(&client(&n.to_string(), ""))).collect();
        assert_eq!(origins.0.len(), MAX_SHARED);
        let more = origins.compact(&client("more", ""));
        assert_eq!((origins.0.len(), Arc::strong_count(&more.origin)), (MAX_SHARED, 1), "owned by its client alone");
        drop(kept);
        let shared = origins.compact(&client("later", ""));
        assert_eq!((origins.0.len(), Arc::strong_count(&shared.origin)), (1, 2), "an unused origin is dropped");
    }
}
