//! DescribeConfigs: decoding of the request and encoding of the response. Knows nothing about subscriptions.

use super::lazy_array::{ArrayElement, LazyArray};
use super::request::KafkaRequestHead;
use crate::api::Api;
use crate::wire::{Malformed, WireReader, WireWriter};

/// The most bytes of a string in versions before the flexible one.
const SHORT_TEXT: usize = i16::MAX as usize;

/// The request body.
#[derive(Clone, Copy, Debug)]
pub struct DescribeConfigsBody<'a> {
    /// The resources of the request, still as bytes.
    pub resources: LazyArray<'a, ResourceQuery<'a>>,
    /// Whether the response is to list synonyms.
    pub synonyms: bool,
    /// Whether the response is to have documentation.
    pub documentation: bool,
}

/// One resource to describe.
#[derive(Clone, Copy, Debug)]
pub struct ResourceQuery<'a> {
    /// Kafka's number of the resource type (ConfigResource.Type).
    pub kind: i8,
    /// The name, as sent: perhaps not UTF-8.
    pub name: &'a [u8],
    /// `None` requests all keys.
    pub keys: Option<LazyArray<'a, ConfigKeyName<'a>>>,
}

/// The name of a requested key, which may not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigKeyName<'a>(pub &'a [u8]);

/// The description of one resource.
#[derive(Clone, Debug)]
pub struct ResourceDescription<'a> {
    /// Kafka's error code; see [`crate::api`].
    pub error: i16,
    /// A sentence beside the error code.
    pub message: Option<&'a str>,
    /// Kafka's number of the resource type (ConfigResource.Type).
    pub kind: i8,
    /// The name, as sent: perhaps not UTF-8.
    pub name: &'a [u8],
    /// The keys of the resource.
    pub entries: Vec<ConfigEntry<'a>>,
}

/// One key of a resource. The first synonym is the effective value.
#[derive(Clone, Debug)]
pub struct ConfigEntry<'a> {
    /// The key's name.
    pub name: &'static str,
    /// Kafka's ConfigType.
    pub kind: i8,
    /// Whether the key cannot be altered.
    pub read_only: bool,
    /// What the key means.
    pub documentation: &'static str,
    /// The value as text.
    pub value: &'a str,
    /// Kafka's ConfigSource.
    pub source: i8,
    /// Whether the value is the default.
    pub is_default: bool,
    /// The values of the key by source, of which the first is in effect.
    pub synonyms: Vec<(i8, &'a str)>,
}

/// Reads the body of the request.
pub fn read<'a>(reader: &mut WireReader<'a>, version: i16) -> Result<DescribeConfigsBody<'a>, Malformed> {
    let flexible = Api::DescribeConfigs.is_flexible(version);
    let least = if flexible { 4 } else { 7 };
    let count = reader.count(flexible, least, "the resources")?.ok_or(Malformed::Null("the resources"))?;
    let resources = LazyArray::read(reader, count, version)?;
    let synonyms = version >= 1 && reader.bool("include synonyms")?;
    let documentation = version >= 3 && reader.bool("include documentation")?;
    reader.skip_tags(flexible)?;
    Ok(DescribeConfigsBody { resources, synonyms, documentation })
}

impl<'a> ArrayElement<'a> for ResourceQuery<'a> {
    fn read(reader: &mut WireReader<'a>, version: i16) -> Result<Self, Malformed> {
        let flexible = Api::DescribeConfigs.is_flexible(version);
        let kind = reader.i8("a resource type")?;
        let name = reader.text(flexible, "a resource name")?;
        let count = reader.count(flexible, if flexible { 1 } else { 2 }, "the keys of a resource")?;
        let keys = count.map(|count| LazyArray::read(reader, count, version)).transpose()?;
        reader.skip_tags(flexible)?;
        Ok(Self { kind, name, keys })
    }
}

impl<'a> ArrayElement<'a> for ConfigKeyName<'a> {
    fn read(reader: &mut WireReader<'a>, version: i16) -> Result<Self, Malformed> {
        reader.text(Api::DescribeConfigs.is_flexible(version), "a key of a resource").map(Self)
    }
}

impl DescribeConfigsBody<'_> {
    /// An upper bound for the response's bytes, without the text in the descriptions.
    pub fn answer_bound(&self) -> usize {
        const RESOURCE: usize = 32;
        self.resources.len().saturating_mul(RESOURCE).saturating_add(self.resources.byte_len())
    }
}

impl ResourceDescription<'_> {
    /// An upper bound for its bytes, without its resource's name.
    pub fn size(&self) -> usize {
        const HEAD: usize = 32;
        let entry = |entry: &ConfigEntry<'_>| {
            let said: usize = entry.synonyms.iter().map(|(_, text)| HEAD + entry.name.len() + text.len()).sum();
            HEAD + entry.name.len() + entry.value.len() + entry.documentation.len() + said
        };
        self.message.map_or(0, str::len) + self.entries.iter().map(entry).sum::<usize>()
    }

    /// Whether each of its values fits this version: strings of old versions end at 32,767 bytes, and a truncated value
    /// would be a different one.
    pub fn fits_version(&self, version: i16) -> bool {
        let short = |entry: &ConfigEntry<'_>| entry.synonyms.iter().all(|(_, text)| text.len() <= SHORT_TEXT);
        Api::DescribeConfigs.is_flexible(version) || self.entries.iter().all(short)
    }
}

/// `descriptions` yields one for each resource of the request.
pub fn write<'a>(
    head: &KafkaRequestHead<'_>,
    request: &DescribeConfigsBody<'_>,
    descriptions: impl Iterator<Item = ResourceDescription<'a>>,
) -> Vec<u8> {
    let flexible = head.is_flexible();
    let mut out = WireWriter::response(head.correlation, flexible);
    out.i32(0);
    out.count(flexible, request.resources.len());
    for found in descriptions {
        out.i16(found.error);
        out.text(flexible, found.message.map(str::as_bytes));
        out.i8(found.kind);
        out.text(flexible, Some(found.name));
        out.count(flexible, found.entries.len());
        found.entries.iter().for_each(|entry| write_entry(&mut out, head, request, entry));
        out.empty_tags(flexible);
    }
    out.empty_tags(flexible);
    out.finish()
}

fn write_entry(
    out: &mut WireWriter,
    head: &KafkaRequestHead<'_>,
    request: &DescribeConfigsBody<'_>,
    entry: &ConfigEntry<'_>,
) {
    let (version, flexible) = (head.version, head.is_flexible());
    out.text(flexible, Some(entry.name.as_bytes()));
    out.text(flexible, Some(entry.value.as_bytes()));
    out.bool(entry.read_only);
    if version == 0 {
        out.bool(entry.is_default);
    } else {
        out.i8(entry.source);
    }
    // No value here is sensitive.
    out.bool(false);
    if version >= 1 {
        let synonyms: &[(i8, &str)] = if request.synonyms { &entry.synonyms } else { &[] };
        out.count(flexible, synonyms.len());
        for (source, value) in synonyms {
            out.text(flexible, Some(entry.name.as_bytes()));
            out.text(flexible, Some(value.as_bytes()));
            out.i8(*source);
            out.empty_tags(flexible);
        }
    }
    if version >= 3 {
        out.i8(entry.kind);
        out.text(flexible, request.documentation.then_some(entry.documentation.as_bytes()));
    }
    out.empty_tags(flexible);
}
