//! IncrementalAlterConfigs (KIP-339): decoding of the request and encoding of the response. Knows nothing about
//! subscriptions.

use super::lazy_array::{ArrayElement, LazyArray};
use super::request::KafkaRequestHead;
use crate::api::Api;
use crate::wire::{Malformed, WireReader, WireWriter};

/// The request body.
#[derive(Clone, Copy, Debug)]
pub struct AlterConfigsBody<'a> {
    /// The resources of the request, still as bytes.
    pub resources: LazyArray<'a, ResourceAlteration<'a>>,
    /// Whether the change is only to be validated (KIP-339).
    pub validate_only: bool,
}

/// One resource to alter.
#[derive(Clone, Copy, Debug)]
pub struct ResourceAlteration<'a> {
    /// Kafka's number of the resource type (ConfigResource.Type).
    pub kind: i8,
    /// The name, as sent: perhaps not UTF-8.
    pub name: &'a [u8],
    /// The operations on the keys of the resource.
    pub ops: LazyArray<'a, ConfigOp<'a>>,
}

/// One operation on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigOp<'a> {
    /// The key, as sent.
    pub key: &'a [u8],
    /// Kafka's number of the operation (AlterConfigOp.OpType).
    pub kind: i8,
    /// The value, as sent: perhaps not UTF-8, or null.
    pub value: Option<&'a [u8]>,
}

/// The result for one resource: an error code and a message, which may also accompany success.
pub type AlterationResult<'a> = (i16, Option<&'a str>);

/// Reads the body of the request.
pub fn read<'a>(reader: &mut WireReader<'a>, version: i16) -> Result<AlterConfigsBody<'a>, Malformed> {
    let flexible = Api::IncrementalAlterConfigs.is_flexible(version);
    let least = if flexible { 4 } else { 7 };
    let count = reader.count(flexible, least, "the resources")?.ok_or(Malformed::Null("the resources"))?;
    let resources = LazyArray::read(reader, count, version)?;
    let validate_only = reader.bool("validate only")?;
    reader.skip_tags(flexible)?;
    Ok(AlterConfigsBody { resources, validate_only })
}

impl<'a> ArrayElement<'a> for ResourceAlteration<'a> {
    fn read(reader: &mut WireReader<'a>, version: i16) -> Result<Self, Malformed> {
        const CONFIGS: &str = "the configurations of a resource";
        let flexible = Api::IncrementalAlterConfigs.is_flexible(version);
        let kind = reader.i8("a resource type")?;
        let name = reader.text(flexible, "a resource name")?;
        let least = if flexible { 4 } else { 5 };
        let count = reader.count(flexible, least, CONFIGS)?.ok_or(Malformed::Null(CONFIGS))?;
        let ops = LazyArray::read(reader, count, version)?;
        reader.skip_tags(flexible)?;
        Ok(Self { kind, name, ops })
    }
}

impl<'a> ArrayElement<'a> for ConfigOp<'a> {
    fn read(reader: &mut WireReader<'a>, version: i16) -> Result<Self, Malformed> {
        let flexible = Api::IncrementalAlterConfigs.is_flexible(version);
        let key = reader.text(flexible, "a key of a resource")?;
        let kind = reader.i8("an operation")?;
        let value = reader.nullable_text(flexible, "a value")?;
        reader.skip_tags(flexible)?;
        Ok(Self { key, kind, value })
    }
}

impl AlterConfigsBody<'_> {
    /// An upper bound for the response's bytes, without the messages.
    pub fn answer_bound(&self) -> usize {
        const RESOURCE: usize = 32;
        self.resources.len().saturating_mul(RESOURCE).saturating_add(self.resources.byte_len())
    }
}

/// `results` yields one result for each resource of the request.
pub fn write<'a>(
    head: &KafkaRequestHead<'_>,
    request: &AlterConfigsBody<'_>,
    results: impl Iterator<Item = (AlterationResult<'a>, ResourceAlteration<'a>)>,
) -> Vec<u8> {
    let flexible = head.is_flexible();
    let mut out = WireWriter::response(head.correlation, flexible);
    out.i32(0);
    out.count(flexible, request.resources.len());
    for ((error, words), resource) in results {
        out.i16(error);
        out.text(flexible, words.map(str::as_bytes));
        out.i8(resource.kind);
        out.text(flexible, Some(resource.name));
        out.empty_tags(flexible);
    }
    out.empty_tags(flexible);
    out.finish()
}
