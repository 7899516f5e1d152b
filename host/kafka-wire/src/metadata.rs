//! Metadata: a cluster of the hosts behind one address, including this one, and no topics.
//!
//! Clients push only to brokers that Metadata names, so node, host and port here determine whether they push at all.

use super::request::KafkaRequestHead;
use crate::api;
use crate::api::Api;
use crate::wire::{Malformed, WireReader, WireWriter};
use barnabas_base::InstanceId;

/// "Not requested", in the two fields about authorized operations.
const NO_OPERATIONS: i32 = i32::MIN;

/// The topics of a request, which are validated and then decoded again one by one for the response instead of being
/// stored.
#[derive(Clone, Copy, Debug)]
pub struct RequestedTopics<'a> {
    entries: WireReader<'a>,
    count: usize,
    version: i16,
}

/// One topic that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedTopic<'a> {
    /// The topic id; zero if the topic is named.
    pub id: InstanceId,
    /// The name, as sent: perhaps not UTF-8.
    pub name: Option<&'a [u8]>,
}

/// The cluster as one client sees it.
#[derive(Clone, Debug)]
pub struct AdvertisedCluster<'a> {
    /// The cluster id.
    pub id: &'a str,
    /// In order of id.
    pub brokers: Vec<AdvertisedBroker<'a>>,
}

/// One host of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct AdvertisedBroker<'a> {
    /// The node id of the broker.
    pub node_id: i32,
    /// The host name or address that clients connect to.
    pub host: &'a str,
    /// The TCP port.
    pub port: u16,
}

impl AdvertisedCluster<'_> {
    /// The controller's node id: the lowest, so that all hosts name the same one without coordination; -1 without
    /// hosts.
    pub fn controller(&self) -> i32 {
        self.brokers.iter().map(|broker| broker.node_id).min().unwrap_or(-1)
    }

    /// An upper bound for the brokers' bytes in a response.
    pub fn answer_bound(&self) -> usize {
        const ENTRY: usize = 16;
        self.brokers.iter().map(|broker| broker.host.len().saturating_add(ENTRY)).sum()
    }
}

/// Reads the body of the request.
pub fn read<'a>(reader: &mut WireReader<'a>, version: i16) -> Result<RequestedTopics<'a>, Malformed> {
    let flexible = Api::Metadata.is_flexible(version);
    // A topic has an id from version 10 on; an empty name takes two bytes: its length, or its length and no tags.
    let least = if version >= 10 { 18 } else { 2 };
    let count = reader.count(flexible, least, "the topics")?.unwrap_or(0);
    let entries = *reader;
    for _ in 0..count {
        topic(reader, version)?;
    }
    if version >= 4 {
        reader.bool("allow auto topic creation")?;
    }
    if (8..=10).contains(&version) {
        reader.bool("include cluster authorized operations")?;
    }
    if version >= 8 {
        reader.bool("include topic authorized operations")?;
    }
    reader.skip_tags(flexible)?;
    Ok(RequestedTopics { entries, count, version })
}

fn topic<'a>(reader: &mut WireReader<'a>, version: i16) -> Result<RequestedTopic<'a>, Malformed> {
    let flexible = Api::Metadata.is_flexible(version);
    let id = if version >= 10 { reader.uuid("a topic id")? } else { InstanceId::NIL };
    let name = if version >= 10 {
        reader.nullable_text(flexible, "a topic name")?
    } else {
        Some(reader.text(flexible, "a topic name")?)
    };
    reader.skip_tags(flexible)?;
    Ok(RequestedTopic { id, name })
}

impl<'a> RequestedTopics<'a> {
    /// Each topic, in order.
    pub fn iter(&self) -> impl Iterator<Item = RequestedTopic<'a>> + use<'a> {
        let (mut entries, version) = (self.entries, self.version);
        (0..self.count).map_while(move |_| topic(&mut entries, version).ok())
    }

    /// An upper bound for the topics' bytes in the response: they take more than in the request.
    pub fn answer_bound(&self) -> usize {
        const ENTRY: usize = 48;
        self.count.saturating_mul(ENTRY).saturating_add(self.entries.remaining())
    }
}

/// Writes the response as a frame.
pub fn write(head: &KafkaRequestHead<'_>, cluster: &AdvertisedCluster<'_>, topics: &RequestedTopics<'_>) -> Vec<u8> {
    let (version, flexible) = (head.version, head.is_flexible());
    let mut out = WireWriter::response(head.correlation, flexible);
    if version >= 3 {
        out.i32(0);
    }
    out.count(flexible, cluster.brokers.len());
    for broker in &cluster.brokers {
        write_broker(&mut out, version, broker);
    }
    if version >= 2 {
        out.text(flexible, Some(cluster.id.as_bytes()));
    }
    if version >= 1 {
        out.i32(cluster.controller());
    }
    out.count(flexible, topics.count);
    for topic in topics.iter() {
        write_topic(&mut out, version, &topic);
    }
    if (8..=10).contains(&version) {
        out.i32(NO_OPERATIONS);
    }
    out.empty_tags(flexible);
    out.finish()
}

fn write_broker(out: &mut WireWriter, version: i16, broker: &AdvertisedBroker<'_>) {
    let flexible = Api::Metadata.is_flexible(version);
    out.i32(broker.node_id);
    out.text(flexible, Some(broker.host.as_bytes()));
    out.i32(i32::from(broker.port));
    if version >= 1 {
        out.text(flexible, None);
    }
    out.empty_tags(flexible);
}

fn write_topic(out: &mut WireWriter, version: i16, topic: &RequestedTopic<'_>) {
    let flexible = Api::Metadata.is_flexible(version);
    let by_id = topic.name.is_none() && topic.id != InstanceId::NIL;
    out.i16(if by_id { api::UNKNOWN_TOPIC_ID } else { api::UNKNOWN_TOPIC_OR_PARTITION });
    // Null is allowed since version 12.
    out.text(flexible, if version >= 12 { topic.name } else { Some(topic.name.unwrap_or_default()) });
    if version >= 10 {
        out.uuid(&topic.id);
    }
    if version >= 1 {
        out.bool(false);
    }
    out.count(flexible, 0);
    if version >= 8 {
        out.i32(NO_OPERATIONS);
    }
    out.empty_tags(flexible);
}
