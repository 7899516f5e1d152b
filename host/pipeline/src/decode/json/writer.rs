//! The protobuf output, and the path of the field that is being read.

use std::fmt::Write as _;

use serde::de;

use super::schema::FieldSchema;

/// The output so far, and the path.
pub(super) struct ProtobufWriter {
    pub(super) out: Vec<u8>,
    limit: usize,
    path: Vec<PathStep>,
}

enum PathStep {
    Field(&'static str),
    Item(usize),
}

impl ProtobufWriter {
    pub(super) fn new(limit: usize) -> Self {
        Self { out: Vec::new(), limit, path: Vec::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.out.len() > self.limit
    }

    /// To be called after each value, so that the limit is exceeded by no more than one.
    pub(super) fn check<E: de::Error>(&self) -> Result<(), E> {
        if self.is_full() { Err(E::custom("too long")) } else { Ok(()) }
    }

    pub(super) fn enter_field(&mut self, field: &'static str) {
        self.path.push(PathStep::Field(field));
    }

    pub(super) fn enter_item(&mut self, index: usize) {
        self.path.push(PathStep::Item(index));
    }

    /// Not called if parsing fails, so that [`path_prefix`](Self::path_prefix) names the place of the error.
    pub(super) fn leave(&mut self) {
        self.path.pop();
    }

    /// `resourceMetrics[0].resource: `, empty outside of any field.
    pub(super) fn path_prefix(&self) -> String {
        let mut prefix = String::new();
        for step in &self.path {
            let _ = match step {
                PathStep::Field(name) if prefix.is_empty() => write!(prefix, "{name}"),
                PathStep::Field(name) => write!(prefix, ".{name}"),
                PathStep::Item(index) => write!(prefix, "[{index}]"),
            };
        }
        if prefix.is_empty() { prefix } else { prefix + ": " }
    }

    /// Writes a field's key, and returns its start.
    pub(super) fn key(&mut self, field: &FieldSchema) -> usize {
        let start = self.out.len();
        self.varint(u64::from(field.number << 3 | field.field_type.wire_type()));
        start
    }

    pub(super) fn packed_key(&mut self, field: &FieldSchema) {
        self.varint(u64::from(field.number << 3 | 2));
    }

    /// Discards what was written since `start`.
    pub(super) fn truncate(&mut self, start: usize) {
        self.out.truncate(start);
    }

    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    pub(super) fn delimited(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    /// Begins a part whose length is not known yet: one byte is reserved for it, which is enough for most.
    pub(super) fn open_length(&mut self) -> usize {
        self.out.push(0);
        self.out.len()
    }

    /// Ends the part that began at `start`, and shifts it if its length needs more than that byte.
    pub(super) fn close_length(&mut self, start: usize) {
        let (end, len) = (self.out.len(), (self.out.len() - start) as u64);
        let more = varint_len(len) - 1;
        if more > 0 {
            self.out.resize(end + more, 0);
            self.out.copy_within(start..end, start + more);
        }
        let mut rest = len;
        for byte in self.out.iter_mut().skip(start - 1).take(more + 1) {
            *byte = (rest & 0x7f) as u8 | if rest >= 0x80 { 0x80 } else { 0 };
            rest >>= 7;
        }
    }
}

fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
