//! IncrementalAlterConfigs (KIP-339): what is to become of which resources, and the answer as bytes. Knows no
//! subscription.

use super::list::{Element, List};
use super::request::Head;
use crate::kafka::api::Api;
use crate::kafka::wire::{Malformed, Reader, Writer};

/// The question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) resources: List<'a, Resource<'a>>,
    pub(crate) validate_only: bool,
}

/// One resource that is to be altered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resource<'a> {
    pub(crate) kind: i8,
    pub(crate) name: &'a [u8],
    pub(crate) ops: List<'a, Op<'a>>,
}

/// One operation on one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) kind: i8,
    pub(crate) value: Option<&'a [u8]>,
}

/// The answer about one resource: an error code, and words that may also stand beside "done".
pub(crate) type Answer<'a> = (i16, Option<&'a str>);

pub(crate) fn read<'a>(reader: &mut Reader<'a>, version: i16) -> Result<Asked<'a>, Malformed> {
    let flexible = Api::IncrementalAlterConfigs.is_flexible(version);
    let least = if flexible { 4 } else { 7 };
    let count = reader.count(flexible, least, "the resources")?.ok_or(Malformed::Null("the resources"))?;
    let resources = List::read(reader, count, version)?;
    let validate_only = reader.bool("validate only")?;
    reader.skip_tags(flexible)?;
    Ok(Asked { resources, validate_only })
}

impl<'a> Element<'a> for Resource<'a> {
    fn read(reader: &mut Reader<'a>, version: i16) -> Result<Self, Malformed> {
        const CONFIGS: &str = "the configurations of a resource";
        let flexible = Api::IncrementalAlterConfigs.is_flexible(version);
        let kind = reader.i8("a resource type")?;
        let name = reader.text(flexible, "a resource name")?;
        let least = if flexible { 4 } else { 5 };
        let count = reader.count(flexible, least, CONFIGS)?.ok_or(Malformed::Null(CONFIGS))?;
        let ops = List::read(reader, count, version)?;
        reader.skip_tags(flexible)?;
        Ok(Self { kind, name, ops })
    }
}

impl<'a> Element<'a> for Op<'a> {
    fn read(reader: &mut Reader<'a>, version: i16) -> Result<Self, Malformed> {
        let flexible = Api::IncrementalAlterConfigs.is_flexible(version);
        let key = reader.text(flexible, "a key of a resource")?;
        let kind = reader.i8("an operation")?;
        let value = reader.nullable_text(flexible, "a value")?;
        reader.skip_tags(flexible)?;
        Ok(Self { key, kind, value })
    }
}

impl Asked<'_> {
    /// How many bytes the answer may have at most, beside its words.
    pub(crate) fn answer_bound(&self) -> usize {
        const RESOURCE: usize = 32;
        self.resources.len().saturating_mul(RESOURCE).saturating_add(self.resources.bytes())
    }
}

/// `done` gives one answer for each resource of the question.
pub(crate) fn write<'a>(
    head: &Head<'_>,
    asked: &Asked<'_>,
    done: impl Iterator<Item = (Answer<'a>, Resource<'a>)>,
) -> Vec<u8> {
    let flexible = head.is_flexible();
    let mut out = Writer::response(head.correlation, flexible);
    out.i32(0);
    out.count(flexible, asked.resources.len());
    for ((error, words), resource) in done {
        out.i16(error);
        out.text(flexible, words.map(str::as_bytes));
        out.i8(resource.kind);
        out.text(flexible, Some(resource.name));
        out.no_tags(flexible);
    }
    out.no_tags(flexible);
    out.finish()
}
