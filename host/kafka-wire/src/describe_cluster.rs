//! DescribeCluster: the cluster that Metadata describes, for administrators.

use super::metadata::{AdvertisedBroker, AdvertisedCluster};
use super::request::KafkaRequestHead;
use crate::api;
use crate::wire::{Malformed, WireReader, WireWriter};

/// The endpoint types of KIP-919.
pub const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// "Not requested".
const NO_OPERATIONS: i32 = i32::MIN;

/// The requested endpoint type; brokers if the version has no such field. The other fields are ignored.
pub fn read(reader: &mut WireReader<'_>, version: i16) -> Result<i8, Malformed> {
    reader.bool("include cluster authorized operations")?;
    let endpoints = if version >= 1 { reader.i8("the endpoint type")? } else { BROKERS };
    if version >= 2 {
        reader.bool("include fenced brokers")?;
    }
    reader.skip_tags(true)?;
    Ok(endpoints)
}

/// Writes the response as a frame.
pub fn write(head: &KafkaRequestHead<'_>, endpoints: i8, cluster: &AdvertisedCluster<'_>) -> Vec<u8> {
    let (error, words) = match endpoints {
        BROKERS => (api::NONE, None),
        // The error codes distinguish the two cases as Apache Kafka's broker does.
        CONTROLLERS => (api::MISMATCHED_ENDPOINT_TYPE, Some("this is a broker endpoint, not a controller endpoint")),
        _ => (api::UNSUPPORTED_ENDPOINT_TYPE, Some("the endpoint type is unknown; request brokers")),
    };
    let brokers: &[AdvertisedBroker<'_>] = if error == api::NONE { &cluster.brokers } else { &[] };
    let mut out = WireWriter::response(head.correlation, true);
    out.i32(0);
    out.i16(error);
    out.text(true, words.map(str::as_bytes));
    if head.version >= 1 {
        out.i8(BROKERS);
    }
    out.text(true, Some(if brokers.is_empty() { "" } else { cluster.id }.as_bytes()));
    out.i32(if brokers.is_empty() { -1 } else { cluster.controller() });
    out.count(true, brokers.len());
    for broker in brokers {
        write_broker(&mut out, head.version, broker);
    }
    out.i32(NO_OPERATIONS);
    out.empty_tags(true);
    out.finish()
}

fn write_broker(out: &mut WireWriter, version: i16, broker: &AdvertisedBroker<'_>) {
    out.i32(broker.node_id);
    out.text(true, Some(broker.host.as_bytes()));
    out.i32(i32::from(broker.port));
    out.text(true, None);
    if version >= 2 {
        out.bool(false);
    }
    out.empty_tags(true);
}
