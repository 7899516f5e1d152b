//! The protobuf that is being written, and where in the message its reader stands.

use std::fmt::Write as _;

use serde::de;

use super::schema::Field;

/// Bytes so far, and the place.
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    limit: usize,
    place: Vec<Step>,
}

enum Step {
    Field(&'static str),
    Item(usize),
}

impl Writer {
    pub(super) fn new(limit: usize) -> Self {
        Self { out: Vec::new(), limit, place: Vec::new() }
    }

    pub(super) fn full(&self) -> bool {
        self.out.len() > self.limit
    }

    /// To be asked after each value, so that the limit is overstepped by no more than one.
    pub(super) fn check<E: de::Error>(&self) -> Result<(), E> {
        if self.full() { Err(E::custom("too long")) } else { Ok(()) }
    }

    pub(super) fn enter(&mut self, field: &'static str) {
        self.place.push(Step::Field(field));
    }

    pub(super) fn enter_item(&mut self, index: usize) {
        self.place.push(Step::Item(index));
    }

    /// Not called where reading ends with an error, so that [`place`](Self::place) says where that was.
    pub(super) fn leave(&mut self) {
        self.place.pop();
    }

    /// `resourceMetrics[0].resource: `, empty outside of any field.
    pub(super) fn place(&self) -> String {
        let mut place = String::new();
        for step in &self.place {
            let _ = match step {
                Step::Field(name) if place.is_empty() => write!(place, "{name}"),
                Step::Field(name) => write!(place, ".{name}"),
                Step::Item(index) => write!(place, "[{index}]"),
            };
        }
        if place.is_empty() { place } else { place + ": " }
    }

    /// Writes a field's key; where it begins.
    pub(super) fn key(&mut self, field: &Field) -> usize {
        let start = self.out.len();
        self.varint(u64::from(field.number << 3 | field.form.wire_type()));
        start
    }

    pub(super) fn packed_key(&mut self, field: &Field) {
        self.varint(u64::from(field.number << 3 | 2));
    }

    /// Takes back what was written since.
    pub(super) fn forget(&mut self, start: usize) {
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

    /// Begins something whose length is not known yet: one byte is kept for it, which is enough for most.
    pub(super) fn open(&mut self) -> usize {
        self.out.push(0);
        self.out.len()
    }

    /// Ends what began at `start`, and makes room where its length needs more than that byte.
    pub(super) fn close(&mut self, start: usize) {
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
