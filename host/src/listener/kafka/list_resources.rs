//! ListConfigResources (KIP-1142), in version 0 ListClientMetricsResources: the names of what can be configured here,
//! which are subscriptions only. Knows none itself.

use super::list::{Element, List};
use super::request::Head;
use crate::kafka::wire::{Malformed, Reader, Writer};

/// Kafka's ConfigResource.Type of a subscription.
pub(crate) const CLIENT_METRICS: i8 = 16;
/// The types that a broker can list: topic, broker, broker logger, client metrics, group.
const LISTABLE: [i8; 5] = [2, 4, 8, CLIENT_METRICS, 32];

/// Kafka's number of a type of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Type(i8);

/// Which types are asked for; `None` in version 0.
pub(crate) type Types<'a> = Option<List<'a, Type>>;

/// What is to be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Subscriptions,
    /// Of what is asked for there is nothing here.
    Nothing,
    Unknown,
}

pub(crate) fn read<'a>(reader: &mut Reader<'a>, version: i16) -> Result<Types<'a>, Malformed> {
    const TYPES: &str = "the resource types";
    let types = if version >= 1 {
        let count = reader.count(true, 1, TYPES)?.ok_or(Malformed::Null(TYPES))?;
        Some(List::read(reader, count, version)?)
    } else {
        None
    };
    reader.skip_tags(true)?;
    Ok(types)
}

impl Element<'_> for Type {
    fn read(reader: &mut Reader<'_>, _: i16) -> Result<Self, Malformed> {
        reader.i8("a resource type").map(Self)
    }
}

/// None asked for means all.
pub(crate) fn wanted(types: &Types<'_>) -> Wanted {
    let Some(types) = types.as_ref().filter(|types| types.len() > 0) else { return Wanted::Subscriptions };
    if types.iter().any(|Type(kind)| !LISTABLE.contains(&kind)) {
        Wanted::Unknown
    } else if types.iter().any(|Type(kind)| kind == CLIENT_METRICS) {
        Wanted::Subscriptions
    } else {
        Wanted::Nothing
    }
}

pub(crate) fn write<S: AsRef<str>>(head: &Head<'_>, error: i16, names: &[S]) -> Vec<u8> {
    let mut out = Writer::response(head.correlation, true);
    out.i32(0);
    out.i16(error);
    out.count(true, names.len());
    for name in names {
        out.text(true, Some(name.as_ref().as_bytes()));
        if head.version >= 1 {
            out.i8(CLIENT_METRICS);
        }
        out.no_tags(true);
    }
    out.no_tags(true);
    out.finish()
}
