//! Recorded pushes of real clients, to try a receiver without a client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::{Client, Ingress, Push};
use barnabas_base::{Codec, InstanceId};

/// The client that a recorded push came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleClient {
    /// A producer of Java kafka-clients 4.0: 86 points, each in a resource block of its own, 14 of them NaN.
    Java,
    /// A consumer of librdkafka 2.16: 15 points in one resource block.
    Librdkafka,
}

impl SampleClient {
    /// The push as it was recorded, still compressed with zstd, with made-up facts about its sender.
    pub fn push(self) -> Push {
        let (software, version, wire): (_, _, &'static [u8]) = match self {
            Self::Java => ("apache-kafka-java", "4.0.0", include_bytes!("../../samples/java.zstd")),
            Self::Librdkafka => ("librdkafka", "2.16.0", include_bytes!("../../samples/librdkafka.zstd")),
        };
        let client =
            Client { software_name: Some(software.into()), software_version: Some(version.into()), ..client() };
        Push { codec: Codec::Zstd.id(), ..push(client, Bytes::from_static(wire)) }
    }
}

/// A push of the given bytes (`MetricsData`, not compressed), with the same made-up facts.
pub fn from_bytes(wire: Bytes) -> Push {
    push(client(), wire)
}

/// The id that KIP-714's examples would print as `cBrordIqXpq0qkqcvYahPA`.
const INSTANCE: InstanceId = InstanceId::from_bytes([
    0x70, 0x1a, 0xe8, 0xad, 0xd2, 0x2a, 0x5e, 0x9a, 0xb4, 0xaa, 0x4a, 0x9c, 0xbd, 0x86, 0xa1, 0x3c,
]);

fn client() -> Client {
    Client {
        instance_id: Some(INSTANCE),
        client_id: Some("sample".into()),
        source: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 50_000)),
        listener: Some("sample".into()),
        ..Client::default()
    }
}

fn push(client: Client, wire: Bytes) -> Push {
    Push {
        client: Arc::new(client),
        ingress: Ingress::Sample,
        received_at: SystemTime::now(),
        terminating: false,
        subscription_id: None,
        codec: Codec::None.id(),
        format: super::Format::Protobuf,
        wire,
        push_interval: Some(Duration::from_mins(1)),
        node_id: Some(1),
        trace_parent: None,
    }
}
