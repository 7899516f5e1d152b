//! ListConfigResources (KIP-1142), in version 0 ListClientMetricsResources: the names of the configurable resources,
//! which are only subscriptions here.

use super::lazy_array::{ArrayElement, LazyArray};
use super::request::KafkaRequestHead;
use crate::wire::{Malformed, WireReader, WireWriter};

/// Kafka's ConfigResource.Type of a subscription.
pub const CLIENT_METRICS: i8 = 16;
/// The types that a broker can list: topic, broker, broker logger, client metrics, group.
const LISTABLE: [i8; 5] = [2, 4, 8, CLIENT_METRICS, 32];

/// Kafka's number of a resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceType(i8);

/// The requested types; `None` in version 0.
pub type ResourceTypes<'a> = Option<LazyArray<'a, ResourceType>>;

/// Which resources to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedResources {
    /// Subscriptions are to be listed.
    Subscriptions,
    /// There are no resources of the requested types here.
    Empty,
    /// A resource type that no broker can list.
    UnknownType,
}

/// Reads the body of the request.
pub fn read<'a>(reader: &mut WireReader<'a>, version: i16) -> Result<ResourceTypes<'a>, Malformed> {
    const TYPES: &str = "the resource types";
    let types = if version >= 1 {
        let count = reader.count(true, 1, TYPES)?.ok_or(Malformed::Null(TYPES))?;
        Some(LazyArray::read(reader, count, version)?)
    } else {
        None
    };
    reader.skip_tags(true)?;
    Ok(types)
}

impl ArrayElement<'_> for ResourceType {
    fn read(reader: &mut WireReader<'_>, _: i16) -> Result<Self, Malformed> {
        reader.i8("a resource type").map(Self)
    }
}

/// No requested type means all types.
pub fn listed(types: &ResourceTypes<'_>) -> ListedResources {
    let Some(types) = types.as_ref().filter(|types| !types.is_empty()) else { return ListedResources::Subscriptions };
    if types.iter().any(|ResourceType(kind)| !LISTABLE.contains(&kind)) {
        ListedResources::UnknownType
    } else if types.iter().any(|ResourceType(kind)| kind == CLIENT_METRICS) {
        ListedResources::Subscriptions
    } else {
        ListedResources::Empty
    }
}

/// Writes the response as a frame.
pub fn write<S: AsRef<str>>(head: &KafkaRequestHead<'_>, error: i16, names: &[S]) -> Vec<u8> {
    let mut out = WireWriter::response(head.correlation, true);
    out.i32(0);
    out.i16(error);
    out.count(true, names.len());
    for name in names {
        out.text(true, Some(name.as_ref().as_bytes()));
        if head.version >= 1 {
            out.i8(CLIENT_METRICS);
        }
        out.empty_tags(true);
    }
    out.empty_tags(true);
    out.finish()
}
