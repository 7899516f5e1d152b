//! A tree of resources, scopes, metrics and data points, with equal nodes merged.
//!
//! The children of a node always come after it in the list, so that one backward pass computes all lengths.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{MAX_PARTS, NormaliseError};
use crate::wire::{put_varint, varint_len};

/// Terminates a linked list; also the parent of resources.
pub(super) const NONE: u32 = u32::MAX;
/// The field number of data points, the same in all kinds of metrics.
const POINTS: u32 = 1;

/// The key by which nodes are merged.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct NodeKey<'a> {
    /// All fields except the children.
    pub(super) head: Cow<'a, [u8]>,
    /// For a metric, the field number of its data; 0 without data.
    pub(super) data: u32,
    /// For a metric, all fields of its data except the points.
    pub(super) tail: Cow<'a, [u8]>,
}

struct TreeNode<'a> {
    identity: NodeKey<'a>,
    /// The field number in the parent.
    number: u32,
    parent: u32,
    next: u32,
    first: u32,
    last: u32,
    /// Bytes of the remaining children, including their keys and lengths.
    children: usize,
    /// Whether a descendant was removed, so that the node is removed as well if it is empty.
    dropped_points: bool,
}

struct PointNode<'a> {
    bytes: Cow<'a, [u8]>,
    next: u32,
}

/// One push.
pub(super) struct Tree<'a> {
    /// Unknown fields of the push itself.
    pub(super) unknown: Cow<'a, [u8]>,
    groups: Vec<TreeNode<'a>>,
    points: Vec<PointNode<'a>>,
    index: HashMap<(u32, NodeKey<'a>), u32>,
    first: u32,
    last: u32,
}

impl<'a> Tree<'a> {
    pub(super) fn new() -> Self {
        let (unknown, groups, points) = (Cow::default(), Vec::new(), Vec::new());
        Self { unknown, groups, points, index: HashMap::new(), first: NONE, last: NONE }
    }

    /// The child of `parent` with this key. A node with unknown fields is never merged.
    pub(super) fn group(
        &mut self,
        parent: u32,
        number: u32,
        identity: NodeKey<'a>,
        strange: bool,
    ) -> Result<u32, NormaliseError> {
        if strange {
            return self.new_group(parent, number, identity);
        }
        let key = (parent, identity);
        if let Some(known) = self.index.get(&key) {
            return Ok(*known);
        }
        let group = self.new_group(parent, number, key.1.clone())?;
        self.index.insert(key, group);
        Ok(group)
    }

    fn new_group(&mut self, parent: u32, number: u32, identity: NodeKey<'a>) -> Result<u32, NormaliseError> {
        let at = self.check_capacity()?;
        let (next, first, last) = (NONE, NONE, NONE);
        self.groups.push(TreeNode { identity, number, parent, next, first, last, children: 0, dropped_points: false });
        let last = match self.groups.get_mut(parent as usize) {
            Some(parent) => chain(&mut parent.first, &mut parent.last, at),
            None => chain(&mut self.first, &mut self.last, at),
        };
        if let Some(last) = self.groups.get_mut(last as usize) {
            last.next = at;
        }
        Ok(at)
    }

    /// Returns the next index. Both lists are shorter than [`MAX_PARTS`], so their indices fit.
    fn check_capacity(&self) -> Result<u32, NormaliseError> {
        let parts = self.groups.len() + self.points.len();
        if parts < MAX_PARTS { Ok(self.groups.len() as u32) } else { Err(NormaliseError::TooManyParts) }
    }

    pub(super) fn point(&mut self, group: u32, bytes: Cow<'a, [u8]>) -> Result<(), NormaliseError> {
        self.check_capacity()?;
        let at = self.points.len() as u32;
        let Some(group) = self.groups.get_mut(group as usize) else { return Ok(()) };
        group.children += field_len(bytes.len());
        let last = chain(&mut group.first, &mut group.last, at);
        self.points.push(PointNode { bytes, next: NONE });
        if let Some(last) = self.points.get_mut(last as usize) {
            last.next = at;
        }
        Ok(())
    }

    /// Records that a data point of the node was removed.
    pub(super) fn drop_point(&mut self, group: u32) {
        if let Some(group) = self.groups.get_mut(group as usize) {
            group.dropped_points = true;
        }
    }

    pub(super) fn write(mut self, limit: usize) -> Result<Vec<u8>, NormaliseError> {
        let whole = self.unknown.len() + self.measure();
        if whole > limit {
            return Err(NormaliseError::TooLong(limit));
        }
        let mut out = Vec::with_capacity(whole);
        self.write_groups(self.first, &mut out);
        out.extend_from_slice(&self.unknown);
        Ok(out)
    }

    /// Computes lengths and removals bottom-up. Returns the total length of all resources.
    fn measure(&mut self) -> usize {
        let mut whole = 0;
        for at in (0..self.groups.len()).rev() {
            let Some(group) = self.groups.get(at) else { continue };
            let (gone, parent) = (group.is_dropped(), group.parent);
            let len = if gone { 0 } else { field_len(group.len()) };
            match self.groups.get_mut(parent as usize) {
                Some(parent) => {
                    parent.children += len;
                    parent.dropped_points |= gone;
                }
                None => whole += len,
            }
        }
        whole
    }

    /// Recursion is at most three levels deep: resource, scope, metric.
    fn write_groups(&self, first: u32, out: &mut Vec<u8>) {
        let mut next = first;
        while let Some(group) = self.groups.get(next as usize) {
            next = group.next;
            if group.is_dropped() {
                continue;
            }
            put_head(out, group.number, group.len());
            out.extend_from_slice(&group.identity.head);
            match group.identity.data {
                0 => self.write_groups(group.first, out),
                data => {
                    put_head(out, data, group.data_len());
                    out.extend_from_slice(&group.identity.tail);
                    self.write_points(group.first, out);
                }
            }
        }
    }

    fn write_points(&self, first: u32, out: &mut Vec<u8>) {
        let mut next = first;
        while let Some(point) = self.points.get(next as usize) {
            put_head(out, POINTS, point.bytes.len());
            out.extend_from_slice(&point.bytes);
            next = point.next;
        }
    }
}

impl TreeNode<'_> {
    fn is_dropped(&self) -> bool {
        self.dropped_points && self.children == 0
    }

    fn data_len(&self) -> usize {
        self.identity.tail.len() + self.children
    }

    fn len(&self) -> usize {
        let below = match self.identity.data {
            0 => self.children,
            _ => field_len(self.data_len()),
        };
        self.identity.head.len() + below
    }
}

/// Appends to a linked list, and returns the previous last element.
fn chain(first: &mut u32, last: &mut u32, at: u32) -> u32 {
    if *first == NONE {
        *first = at;
    }
    std::mem::replace(last, at)
}

fn put_head(out: &mut Vec<u8>, number: u32, len: usize) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, len as u64);
}

/// Length of a delimited field with a number below 16.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}
