//! Kafka's primitive types: decoded from a slice, encoded into a buffer.
//!
//! A [`WireReader`] cannot read beyond its slice. Counts are checked against the bytes that are left before any loop or
//! allocation; unknown tagged fields are skipped. Nothing here allocates except the one buffer of the [`WireWriter`].
//! `flexible` selects one of the two encodings of lengths: fixed width, or a varint of length + 1.

use barnabas_base::InstanceId;

/// Invalid bytes. The message names the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The frame ends inside this field.
    #[error("the frame ends inside {0}")]
    UnexpectedEnd(&'static str),
    /// The length of this field is negative.
    #[error("the length of {0} is {1}")]
    Negative(&'static str, i32),
    /// The field is null where the protocol does not allow it.
    #[error("{0} is null")]
    Null(&'static str),
    /// The varint of this field is too long.
    #[error("a varint in {0} does not fit into 32 bits")]
    Varint(&'static str),
    /// The field declares more elements than the frame can hold.
    #[error("{what} announces {count} entries, {left} bytes are left")]
    Count {
        /// The name of the field.
        what: &'static str,
        /// The declared number of elements.
        count: usize,
        /// The bytes that are left in the frame.
        left: usize,
    },
}

/// Reads from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct WireReader<'a> {
    rest: &'a [u8],
}

impl<'a> WireReader<'a> {
    /// A reader of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The number of bytes that are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn fixed<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(Malformed::UnexpectedEnd(what))?;
        self.rest = rest;
        Ok(*head)
    }

    fn split_bytes(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed::UnexpectedEnd(what))?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads an INT8.
    pub fn i8(&mut self, what: &'static str) -> Result<i8, Malformed> {
        self.fixed(what).map(i8::from_be_bytes)
    }

    /// Reads an INT16.
    pub fn i16(&mut self, what: &'static str) -> Result<i16, Malformed> {
        self.fixed(what).map(i16::from_be_bytes)
    }

    /// Reads an INT32.
    pub fn i32(&mut self, what: &'static str) -> Result<i32, Malformed> {
        self.fixed(what).map(i32::from_be_bytes)
    }

    /// Reads a BOOLEAN.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, Malformed> {
        self.fixed(what).map(|[byte]| byte != 0)
    }

    /// Reads a UUID.
    pub fn uuid(&mut self, what: &'static str) -> Result<InstanceId, Malformed> {
        self.fixed(what).map(InstanceId::from_bytes)
    }

    /// Reads an UNSIGNED_VARINT.
    pub fn uvarint(&mut self, what: &'static str) -> Result<u32, Malformed> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed(what)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return u32::try_from(value).map_err(|_| Malformed::Varint(what));
            }
        }
        Err(Malformed::Varint(what))
    }

    /// The length of a nullable value; `wide` reads it in versions that are not flexible.
    fn length(
        &mut self,
        flexible: bool,
        what: &'static str,
        wide: impl FnOnce(&mut Self) -> Result<i32, Malformed>,
    ) -> Result<Option<usize>, Malformed> {
        if flexible {
            return Ok(self.uvarint(what)?.checked_sub(1).map(|len| len as usize));
        }
        match wide(self)? {
            -1 => Ok(None),
            len => usize::try_from(len).map(Some).map_err(|_| Malformed::Negative(what, len)),
        }
    }

    /// A nullable string, as bytes: the caller checks whether they are UTF-8.
    pub fn nullable_text(&mut self, flexible: bool, what: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        let len = self.length(flexible, what, |r| r.i16(what).map(i32::from))?;
        len.map(|len| self.split_bytes(len, what)).transpose()
    }

    /// Reads a STRING, or a COMPACT_STRING if `flexible`.
    pub fn text(&mut self, flexible: bool, what: &'static str) -> Result<&'a [u8], Malformed> {
        self.nullable_text(flexible, what)?.ok_or(Malformed::Null(what))
    }

    /// Nullable bytes in a flexible version.
    pub fn nullable_bytes(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, Malformed> {
        let len = self.uvarint(what)?.checked_sub(1);
        len.map(|len| self.split_bytes(len as usize, what)).transpose()
    }

    /// Bytes that are not null.
    pub fn bytes(&mut self, flexible: bool, what: &'static str) -> Result<&'a [u8], Malformed> {
        let len = self.length(flexible, what, |r| r.i32(what))?.ok_or(Malformed::Null(what))?;
        self.split_bytes(len, what)
    }

    /// How many entries follow, each of at least `each` bytes; `None` for a null array.
    pub fn count(&mut self, flexible: bool, each: usize, what: &'static str) -> Result<Option<usize>, Malformed> {
        let count = self.length(flexible, what, |r| r.i32(what))?;
        match count {
            Some(count) if count.saturating_mul(each) > self.remaining() => {
                Err(Malformed::Count { what, count, left: self.remaining() })
            }
            count => Ok(count),
        }
    }

    /// Skips the tagged fields of a flexible version: none are known.
    pub fn skip_tags(&mut self, flexible: bool) -> Result<(), Malformed> {
        const WHAT: &str = "the tagged fields";
        if !flexible {
            return Ok(());
        }
        let (count, left) = (self.uvarint(WHAT)? as usize, self.remaining());
        if count.saturating_mul(2) > left {
            return Err(Malformed::Count { what: WHAT, count, left });
        }
        for _ in 0..count {
            self.uvarint(WHAT)?;
            let len = self.uvarint(WHAT)?;
            self.split_bytes(len as usize, WHAT)?;
        }
        Ok(())
    }
}

/// Encodes one frame, of either side.
#[derive(Debug)]
pub struct WireWriter {
    out: Vec<u8>,
}

impl WireWriter {
    /// Begins a frame with a response header: version 1 when `flexible`, else version 0.
    pub fn response(correlation: i32, flexible: bool) -> Self {
        let mut writer = Self { out: Vec::with_capacity(64) };
        writer.i32(0);
        writer.i32(correlation);
        writer.empty_tags(flexible);
        writer
    }

    /// Begins a frame with a request header: version 2 when `flexible`, else version 1. The client id keeps its two-byte
    /// length in both.
    pub fn request(api_key: i16, version: i16, correlation: i32, client_id: &str, flexible: bool) -> Self {
        let mut writer = Self { out: Vec::with_capacity(64) };
        writer.i32(0);
        writer.i16(api_key);
        writer.i16(version);
        writer.i32(correlation);
        writer.text(false, Some(client_id.as_bytes()));
        writer.empty_tags(flexible);
        writer
    }

    /// Fills in the length and returns the frame.
    pub fn finish(mut self) -> Vec<u8> {
        let len = i32::try_from(self.out.len().saturating_sub(4)).expect("answers are far smaller than 2 GiB");
        if let Some(prefix) = self.out.first_chunk_mut() {
            *prefix = len.to_be_bytes();
        }
        self.out
    }

    /// Writes an INT8.
    pub fn i8(&mut self, value: i8) {
        self.out.extend(value.to_be_bytes());
    }

    /// Writes an INT16.
    pub fn i16(&mut self, value: i16) {
        self.out.extend(value.to_be_bytes());
    }

    /// Writes an INT32.
    pub fn i32(&mut self, value: i32) {
        self.out.extend(value.to_be_bytes());
    }

    /// Writes an INT64.
    pub fn i64(&mut self, value: i64) {
        self.out.extend(value.to_be_bytes());
    }

    /// Writes a BOOLEAN.
    pub fn bool(&mut self, value: bool) {
        self.out.push(u8::from(value));
    }

    /// Writes a UUID.
    pub fn uuid(&mut self, value: &InstanceId) {
        self.out.extend(value.as_bytes());
    }

    /// Writes an UNSIGNED_VARINT.
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// A string, or null. Versions that are not flexible limit it to 32,767 bytes; a longer one is truncated.
    pub fn text(&mut self, flexible: bool, value: Option<&[u8]>) {
        match (flexible, value) {
            (true, None) => self.uvarint(0),
            (true, Some(text)) => {
                self.count(true, text.len());
                self.out.extend(text);
            }
            (false, None) => self.i16(-1),
            (false, Some(text)) => {
                let len = i16::try_from(text.len()).unwrap_or(i16::MAX);
                self.i16(len);
                self.out.extend(text.iter().take(len as usize));
            }
        }
    }

    /// Bytes, preceded by their length.
    pub fn bytes(&mut self, flexible: bool, value: &[u8]) {
        self.count(flexible, value.len());
        self.out.extend(value);
    }

    /// The count that precedes an array.
    pub fn count(&mut self, flexible: bool, count: usize) {
        let count = i32::try_from(count).expect("an answer has far fewer entries than 2^31");
        if flexible { self.uvarint(count as u32 + 1) } else { self.i32(count) }
    }

    /// Ends a structure of a flexible version, without tagged fields.
    pub fn empty_tags(&mut self, flexible: bool) {
        if flexible {
            self.out.push(0);
        }
    }
}

#[cfg(test)]
mod tests;
