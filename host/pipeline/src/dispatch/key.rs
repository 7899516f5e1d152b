//! Which pushes are kept in order: the ordering key of a client, and the lane that it maps to.

use std::net::IpAddr;

use crate::push::{Client, Ingress};

/// FNV-1a, 64 bits: the same on every host and after every restart, which durable lanes will need.
struct Fnv(u64);

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Hash of the ordering key: the client instance id, or else ingress, source address and client id.
pub(super) fn ordering_hash(client: &Client, ingress: Ingress) -> u64 {
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    if let Some(id) = client.instance_id {
        hash.write(id.as_bytes());
        return hash.0;
    }
    hash.write(ingress.as_str().as_bytes());
    match client.source.map(|source| source.ip()) {
        Some(IpAddr::V4(ip)) => hash.write(&ip.octets()),
        Some(IpAddr::V6(ip)) => hash.write(&ip.octets()),
        None => {}
    }
    hash.write(client.client_id.as_deref().unwrap_or_default().as_bytes());
    hash.0
}

/// The lane of a hash. The halves are folded, because FNV's low bits alone depend on few bits of the input.
pub(super) fn lane_of(hash: u64, lanes: usize) -> usize {
    ((hash ^ (hash >> 32)) % lanes.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use barnabas_base::InstanceId;

    #[test]
    fn the_instance_id_decides_alone() {
        let id = Some(InstanceId::from_bytes([7; 16]));
        let one = Client { instance_id: id, client_id: Some("a".into()), ..Client::default() };
        let other = Client { instance_id: id, client_id: Some("b".into()), ..Client::default() };
        assert_eq!(ordering_hash(&one, Ingress::Kafka), ordering_hash(&other, Ingress::OtlpHttp));
    }

    #[test]
    fn without_an_instance_id_the_address_without_its_port_decides() {
        let from = |source: &str| Client { source: source.parse().ok(), ..Client::default() };
        let hash = |client: &Client| ordering_hash(client, Ingress::OtlpHttp);
        assert_eq!(hash(&from("10.0.0.1:1")), hash(&from("10.0.0.1:2")));
        assert_ne!(hash(&from("10.0.0.1:1")), hash(&from("10.0.0.2:1")));
        assert_ne!(hash(&from("10.0.0.1:1")), ordering_hash(&from("10.0.0.1:1"), Ingress::Embedder));
    }

    #[test]
    fn the_hash_matches_its_test_vector_and_spreads_over_lanes() {
        let id = |n: u16| {
            let mut bytes = [0; 16];
            bytes[..2].copy_from_slice(&n.to_be_bytes());
            Client { instance_id: Some(InstanceId::from_bytes(bytes)), ..Client::default() }
        };
        let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
        fnv.write(b"foobar");
        assert_eq!(fnv.0, 0x8594_4171_f739_67e8, "FNV-1a's own test vector");
        let mut lanes = [0_u32; 32];
        for n in 0..3_200 {
            lanes[lane_of(ordering_hash(&id(n), Ingress::Kafka), 32)] += 1;
        }
        assert!(lanes.iter().all(|clients| (50..200).contains(clients)), "{lanes:?}");
    }
}
