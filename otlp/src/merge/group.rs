//! Groups the `ResourceMetrics` of one push by resource and schema URL.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{Oversize, RESOURCE_METRICS, ResourceLabel, copy, resource};
use crate::wire::{WireFields, put_delimited, put_varint, varint_len};

const RESOURCE: u32 = 1 << 3 | 2;
const SCOPE_METRICS: u32 = 2 << 3 | 2;
const SCHEMA_URL: u32 = 3 << 3 | 2;
/// Terminates the linked list of a group's pieces.
const NONE: u32 = u32::MAX;

/// The groups in the order of their first `ResourceMetrics`.
#[derive(Default)]
pub(super) struct Groups<'a> {
    groups: Vec<MergeGroup<'a>>,
    pieces: Vec<Piece<'a>>,
    index: HashMap<MergeKey<'a>, u32>,
    /// The group of the previous `ResourceMetrics`, which is usually the same.
    last: Option<u32>,
}

/// The key by which `ResourceMetrics` are merged.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct MergeKey<'a> {
    /// Body of the `Resource`; several occurrences are concatenated, as protobuf merges them. `None` without a resource.
    resource: Option<Cow<'a, [u8]>>,
    schema_url: &'a [u8],
}

struct MergeGroup<'a> {
    identity: MergeKey<'a>,
    first: u32,
    last: u32,
    /// Total length of the pieces.
    len: usize,
}

/// Adjacent fields, copied unchanged.
struct Piece<'a> {
    bytes: &'a [u8],
    next: u32,
}

/// A parsed `ResourceMetrics`.
#[derive(Default)]
struct ParsedBlock<'a> {
    identity: MergeKey<'a>,
    /// Whether it has unknown fields, so that it must not be merged.
    has_unknown_fields: bool,
}

impl<'a> Groups<'a> {
    pub(super) fn add(&mut self, body: &'a [u8]) {
        let before = self.pieces.len();
        let block = self.parse(body);
        let group =
            if block.has_unknown_fields { self.new_group(block.identity) } else { self.group_of(block.identity) };
        for number in before..self.pieces.len() {
            self.chain(group, number as u32);
        }
    }

    /// Parses a `ResourceMetrics` and appends its pieces, which do not belong to a group yet.
    fn parse(&mut self, body: &'a [u8]) -> ParsedBlock<'a> {
        let mut block = ParsedBlock::default();
        let mut rest = body;
        let mut kept = 0;
        for field in WireFields(body) {
            let known = matches!(field.key, RESOURCE | SCHEMA_URL);
            block.has_unknown_fields |= !known && field.key != SCOPE_METRICS;
            if !known {
                kept += field.raw.len();
                continue;
            }
            rest = self.push_piece(rest, kept, field.raw.len());
            kept = 0;
            match field.key {
                RESOURCE => block.identity.join(field.body),
                _ => block.identity.schema_url = field.body,
            }
        }
        self.push_piece(rest, kept, 0);
        block
    }

    /// Appends a piece with the first `len` bytes, and skips `skip` more.
    fn push_piece(&mut self, bytes: &'a [u8], len: usize, skip: usize) -> &'a [u8] {
        let (piece, rest) = bytes.split_at_checked(len).unwrap_or_default();
        if !piece.is_empty() {
            self.pieces.push(Piece { bytes: piece, next: NONE });
        }
        rest.get(skip..).unwrap_or_default()
    }

    fn group_of(&mut self, identity: MergeKey<'a>) -> u32 {
        let last = self.last.filter(|last| self.groups.get(*last as usize).is_some_and(|g| g.identity == identity));
        let group = match last.or_else(|| self.index.get(&identity).copied()) {
            Some(group) => group,
            None => {
                let group = self.new_group(identity.clone());
                self.index.insert(identity, group);
                group
            }
        };
        self.last = Some(group);
        group
    }

    fn new_group(&mut self, identity: MergeKey<'a>) -> u32 {
        self.groups.push(MergeGroup { identity, first: NONE, last: NONE, len: 0 });
        self.groups.len() as u32 - 1
    }

    fn chain(&mut self, group: u32, piece: u32) {
        let Some(group) = self.groups.get_mut(group as usize) else { return };
        match self.pieces.get_mut(group.last as usize) {
            Some(last) => last.next = piece,
            None => group.first = piece,
        }
        group.last = piece;
        group.len += self.pieces.get(piece as usize).map_or(0, |piece| piece.bytes.len());
    }

    pub(super) fn write(self, out: &mut Vec<u8>, labels: &[ResourceLabel<'_>], limit: usize) -> Result<(), Oversize> {
        let mut resource = Vec::new();
        for group in &self.groups {
            resource.clear();
            resource::put(&mut resource, group.identity.resource.as_deref().unwrap_or_default(), labels);
            self.write_group(group, &resource, out, limit)?;
        }
        Ok(())
    }

    fn write_group(
        &self,
        group: &MergeGroup<'a>,
        resource: &[u8],
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), Oversize> {
        let schema_url = group.identity.schema_url;
        let schema_len = if schema_url.is_empty() { 0 } else { delimited_len(schema_url) };
        let len = delimited_len(resource) + group.len + schema_len;
        let whole = 1 + varint_len(len as u64) + len;
        if whole > limit.saturating_sub(out.len()) {
            return Err(Oversize { limit });
        }
        put_varint(out, u64::from(RESOURCE_METRICS));
        put_varint(out, len as u64);
        put_delimited(out, 1, resource);
        self.write_pieces(group.first, out, limit)?;
        if !schema_url.is_empty() {
            put_delimited(out, 3, schema_url);
        }
        Ok(())
    }

    fn write_pieces(&self, first: u32, out: &mut Vec<u8>, limit: usize) -> Result<(), Oversize> {
        let mut next = first;
        while let Some(piece) = self.pieces.get(next as usize) {
            copy(out, piece.bytes, limit)?;
            next = piece.next;
        }
        Ok(())
    }
}

impl<'a> MergeKey<'a> {
    fn join(&mut self, occurrence: &'a [u8]) {
        match &mut self.resource {
            None => self.resource = Some(Cow::Borrowed(occurrence)),
            Some(before) => before.to_mut().extend_from_slice(occurrence),
        }
    }
}

/// Length of a delimited field with a number below 16.
fn delimited_len(body: &[u8]) -> usize {
    1 + varint_len(body.len() as u64) + body.len()
}
