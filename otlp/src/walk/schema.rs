//! The messages of OTLP metrics v1: field numbers and wire types.

use super::PushTemporality;
use crate::wire::{self, WireResult};

/// One walk: its counters, and the messages that need not be checked again.
pub(super) struct Walk<'a, F> {
    pub(super) points: u32,
    pub(super) resources: u32,
    delta: bool,
    cumulative: bool,
    /// Called with each string that is not UTF-8.
    bad_string: F,
    bad: bool,
    /// The last valid resource and scope. Java repeats the same ones for every data point.
    resource: &'a [u8],
    scope: &'a [u8],
}

/// Matches a key against a field (`@is`), or reads the field (`@read`).
macro_rules! field {
    (@is varint $key:ident $number:literal) => {
        $key == $number << 3
    };
    (@is temporality $key:ident $number:literal) => {
        $key == $number << 3
    };
    (@is fixed64 $key:ident $number:literal) => {
        $key == $number << 3 | 1
    };
    (@is fixed64s $key:ident $number:literal) => {
        $key == $number << 3 | 1 || $key == $number << 3 | 2
    };
    (@is varints $key:ident $number:literal) => {
        $key == $number << 3 || $key == $number << 3 | 2
    };
    // Text, bytes and messages.
    (@is $form:ident $key:ident $number:literal) => {
        $key == $number << 3 | 2
    };

    (@read varint $walk:ident $buf:ident $depth:ident $key:ident) => {
        wire::varint(&mut $buf).map(|_| ())
    };
    (@read fixed64 $walk:ident $buf:ident $depth:ident $key:ident) => {
        wire::fixed::<8>(&mut $buf)
    };
    (@read bytes $walk:ident $buf:ident $depth:ident $key:ident) => {
        wire::delimited(&mut $buf).map(|_| ())
    };
    (@read text $walk:ident $buf:ident $depth:ident $key:ident) => {
        wire::delimited(&mut $buf).map(|text| $walk.text(text))
    };
    (@read temporality $walk:ident $buf:ident $depth:ident $key:ident) => {
        wire::varint(&mut $buf).map(|value| $walk.note_temporality(value))
    };
    (@read fixed64s $walk:ident $buf:ident $depth:ident $key:ident) => {
        if $key & 7 == 1 { wire::fixed::<8>(&mut $buf) } else { packed(&mut $buf, wire::fixed::<8>) }
    };
    (@read varints $walk:ident $buf:ident $depth:ident $key:ident) => {
        if $key & 7 == 0 { skip_varint(&mut $buf) } else { packed(&mut $buf, skip_varint) }
    };
    (@read $message:ident $walk:ident $buf:ident $depth:ident $key:ident) => {
        wire::message(&mut $buf, $depth).and_then(|inner| $walk.$message(inner, $depth - 1))
    };
}

/// Defines a method for a message: `number: form`, where the form is a scalar or the method of another message.
macro_rules! message {
    ($name:ident { $($number:literal: $form:ident),* $(,)? }) => {
        pub(super) fn $name(&mut self, mut buf: &'a [u8], depth: u32) -> WireResult<()> {
            const KNOWN: u32 = 0 $(| 1 << $number)*;
            #[allow(unused_variables, reason = "unused in messages with only numbers")]
            let walk = self;
            while !buf.is_empty() {
                let key = wire::key(&mut buf)?;
                $(if field!(@is $form key $number) { field!(@read $form walk buf depth key)? } else)*
                { wire::unknown(key, KNOWN, &mut buf, depth)? }
            }
            Ok(())
        }
    };
}

impl<'a, F: FnMut(&'a [u8])> Walk<'a, F> {
    message!(metrics_data { 1: counted_resource_metrics });
    message!(resource_metrics { 1: resource_once, 2: scope_metrics, 3: text });
    message!(resource { 1: key_value, 2: varint, 3: entity_ref });
    message!(entity_ref { 1: text, 2: text, 3: text, 4: text });
    message!(scope_metrics { 1: scope_once, 2: metric, 3: text });
    message!(scope { 1: text, 2: text, 3: key_value, 4: varint });
    message!(metric {
        1: text,
        2: text,
        3: text,
        5: gauge,
        7: sum,
        9: histogram,
        10: exponential_histogram,
        11: summary,
        12: key_value,
    });

    message!(gauge { 1: number_point });
    message!(sum { 1: number_point, 2: temporality, 3: varint });
    message!(histogram { 1: histogram_point, 2: temporality });
    message!(exponential_histogram { 1: exponential_point, 2: temporality });
    message!(summary { 1: summary_point });

    message!(number_fields { 2: fixed64, 3: fixed64, 4: fixed64, 5: exemplar, 6: fixed64, 7: key_value, 8: varint });
    message!(histogram_fields {
        2: fixed64,
        3: fixed64,
        4: fixed64,
        5: fixed64,
        6: fixed64s,
        7: fixed64s,
        8: exemplar,
        9: key_value,
        10: varint,
        11: fixed64,
        12: fixed64,
    });
    message!(exponential_fields {
        1: key_value,
        2: fixed64,
        3: fixed64,
        4: fixed64,
        5: fixed64,
        6: varint,
        7: fixed64,
        8: buckets,
        9: buckets,
        10: varint,
        11: exemplar,
        12: fixed64,
        13: fixed64,
        14: fixed64,
    });
    message!(buckets { 1: varint, 2: varints });
    message!(summary_fields { 2: fixed64, 3: fixed64, 4: fixed64, 5: fixed64, 6: quantile, 7: key_value, 8: varint });
    message!(quantile { 1: fixed64, 2: fixed64 });
    message!(exemplar { 2: fixed64, 3: fixed64, 4: bytes, 5: bytes, 6: fixed64, 7: key_value });

    message!(key_value { 1: text, 2: any_value, 3: varint });
    message!(any_value { 1: text, 2: varint, 3: varint, 4: fixed64, 5: array, 6: map, 7: bytes, 8: varint });
    message!(array { 1: any_value });
    message!(map { 1: key_value });
}

impl<'a, F: FnMut(&'a [u8])> Walk<'a, F> {
    pub(super) fn new(bad_string: F) -> Self {
        Self {
            points: 0,
            resources: 0,
            delta: false,
            cumulative: false,
            bad_string,
            bad: false,
            resource: &[],
            scope: &[],
        }
    }

    pub(super) fn temporality(&self) -> PushTemporality {
        match (self.delta, self.cumulative) {
            (false, false) => PushTemporality::None,
            (false, true) => PushTemporality::Cumulative,
            (true, false) => PushTemporality::Delta,
            (true, true) => PushTemporality::Mixed,
        }
    }

    fn counted_resource_metrics(&mut self, buf: &'a [u8], depth: u32) -> WireResult<()> {
        self.resources = self.resources.saturating_add(1);
        self.resource_metrics(buf, depth)
    }

    fn resource_once(&mut self, buf: &'a [u8], depth: u32) -> WireResult<()> {
        if buf == self.resource {
            return Ok(());
        }
        self.bad = false;
        self.resource(buf, depth)?;
        if !self.bad {
            self.resource = buf;
        }
        Ok(())
    }

    fn scope_once(&mut self, buf: &'a [u8], depth: u32) -> WireResult<()> {
        if buf == self.scope {
            return Ok(());
        }
        self.bad = false;
        self.scope(buf, depth)?;
        if !self.bad {
            self.scope = buf;
        }
        Ok(())
    }

    fn number_point(&mut self, buf: &'a [u8], depth: u32) -> WireResult<()> {
        self.points = self.points.saturating_add(1);
        self.number_fields(buf, depth)
    }

    fn histogram_point(&mut self, buf: &'a [u8], depth: u32) -> WireResult<()> {
        self.points = self.points.saturating_add(1);
        self.histogram_fields(buf, depth)
    }

    fn exponential_point(&mut self, buf: &'a [u8], depth: u32) -> WireResult<()> {
        self.points = self.points.saturating_add(1);
        self.exponential_fields(buf, depth)
    }

    fn summary_point(&mut self, buf: &'a [u8], depth: u32) -> WireResult<()> {
        self.points = self.points.saturating_add(1);
        self.summary_fields(buf, depth)
    }

    fn note_temporality(&mut self, value: u64) {
        // Like prost: only the low 32 bits count.
        match value as i32 {
            1 => self.delta = true,
            2 => self.cumulative = true,
            _ => {}
        }
    }

    #[inline(always)]
    fn text(&mut self, text: &'a [u8]) {
        if !is_ascii(text) && std::str::from_utf8(text).is_err() {
            self.bad = true;
            (self.bad_string)(text);
        }
    }
}

fn skip_varint(buf: &mut &[u8]) -> WireResult<()> {
    wire::varint(buf).map(|_| ())
}

fn packed(buf: &mut &[u8], one: impl Fn(&mut &[u8]) -> WireResult<()>) -> WireResult<()> {
    let mut values = wire::delimited(buf)?;
    while !values.is_empty() {
        one(&mut values)?;
    }
    Ok(())
}

/// Checks eight bytes at a time, the last eight overlapping: most strings are keys and names of 8 to 40 bytes.
#[inline(always)]
fn is_ascii(text: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let Some(last) = text.last_chunk::<8>() else { return text.iter().all(u8::is_ascii) };
    let words = text.as_chunks::<8>().0;
    words.iter().chain([last]).fold(0, |all, word| all | u64::from_ne_bytes(*word)) & HIGH == 0
}
