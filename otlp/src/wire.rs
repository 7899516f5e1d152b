//! Reads protobuf's wire format from a slice.
//!
//! In: the rest of a message. Out: one token and the rest after it, or the position and the reason of an error. Refuses
//! exactly what prost refuses. Bounded by the slice and by the nesting depth. Never allocates, and never reads past the
//! end.

/// Maximum nesting depth of messages and groups; the same as in prost.
pub(crate) const DEPTH: u32 = 100;

/// Why bytes are not OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A field exceeds its message.
    Truncated,
    /// A varint exceeds 64 bits.
    Varint,
    /// A field key is invalid.
    Key,
    /// A field has a wrong wire type.
    WireType,
    /// A group has no start or no end.
    Group,
    /// Messages are nested more than 100 levels deep.
    TooDeep,
}

/// The position (an address inside the slice) and the reason of an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WireError {
    pub(crate) address: usize,
    pub(crate) reason: Reason,
}

pub(crate) type WireResult<T> = Result<T, WireError>;

/// An error at the beginning of `rest`.
#[cold]
fn fault<T>(rest: &[u8], reason: Reason) -> WireResult<T> {
    Err(WireError { address: rest.as_ptr().addr(), reason })
}

/// Reads a varint.
#[inline(always)]
pub(crate) fn varint(buf: &mut &[u8]) -> WireResult<u64> {
    match buf.split_first() {
        Some((&byte, rest)) if byte < 0x80 => {
            *buf = rest;
            Ok(u64::from(byte))
        }
        _ => long_varint(buf),
    }
}

#[inline(never)]
fn long_varint(buf: &mut &[u8]) -> WireResult<u64> {
    let (mut value, mut rest) = (0, *buf);
    for shift in (0..64).step_by(7) {
        let Some((&byte, behind)) = rest.split_first() else { return fault(buf, Reason::Truncated) };
        rest = behind;
        if shift == 63 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            *buf = rest;
            return Ok(value);
        }
    }
    fault(buf, Reason::Varint)
}

/// Reads the key of a field: its number and three bits of wire type. Only [`skip`] and [`unknown`] validate it, since a key
/// that a message defines is valid.
#[inline(always)]
pub(crate) fn key(buf: &mut &[u8]) -> WireResult<u32> {
    let start = *buf;
    match u32::try_from(varint(buf)?) {
        Ok(key) => Ok(key),
        Err(_) => fault(start, Reason::Key),
    }
}

/// Skips `N` bytes.
#[inline(always)]
pub(crate) fn fixed<const N: usize>(buf: &mut &[u8]) -> WireResult<()> {
    match buf.split_first_chunk::<N>() {
        Some((_, rest)) => {
            *buf = rest;
            Ok(())
        }
        None => fault(buf, Reason::Truncated),
    }
}

/// Reads a length and that number of bytes.
#[inline(always)]
pub(crate) fn delimited<'a>(buf: &mut &'a [u8]) -> WireResult<&'a [u8]> {
    let len = varint(buf)?;
    match usize::try_from(len).ok().and_then(|len| buf.split_at_checked(len)) {
        Some((inner, rest)) => {
            *buf = rest;
            Ok(inner)
        }
        None => fault(buf, Reason::Truncated),
    }
}

/// Reads the body of a nested message; `depth` is the number of remaining levels.
#[inline(always)]
pub(crate) fn message<'a>(buf: &mut &'a [u8], depth: u32) -> WireResult<&'a [u8]> {
    if depth == 0 {
        return fault(buf, Reason::TooDeep);
    }
    delimited(buf)
}

/// Skips the rest of a field whose key the message does not define. If its number is in the bit set `known`, its wire type
/// is wrong, and it is refused.
#[cold]
pub(crate) fn unknown(key: u32, known: u32, buf: &mut &[u8], depth: u32) -> WireResult<()> {
    let number = key >> 3;
    if number < 32 && known & (1 << number) != 0 {
        return fault(buf, if key & 7 > 5 { Reason::Key } else { Reason::WireType });
    }
    skip(key, buf, depth)
}

/// Skips the rest of a field of any type.
pub(crate) fn skip(field: u32, buf: &mut &[u8], depth: u32) -> WireResult<()> {
    if depth == 0 {
        return fault(buf, Reason::TooDeep);
    }
    if field >> 3 == 0 {
        return fault(buf, Reason::Key);
    }
    match field & 7 {
        0 => varint(buf).map(|_| ()),
        1 => fixed::<8>(buf),
        2 => delimited(buf).map(|_| ()),
        3 => skip_group(field, buf, depth),
        4 => fault(buf, Reason::Group),
        5 => fixed::<4>(buf),
        _ => fault(buf, Reason::Key),
    }
}

fn skip_group(begin: u32, buf: &mut &[u8], depth: u32) -> WireResult<()> {
    loop {
        let start = *buf;
        let inner = key(buf)?;
        if inner & 7 == 4 {
            return if inner >> 3 == begin >> 3 { Ok(()) } else { fault(start, Reason::Group) };
        }
        skip(inner, buf, depth - 1)?;
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The number of bytes that [`put_varint`] writes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a length-delimited field.
pub(crate) fn put_delimited(out: &mut Vec<u8>, number: u32, body: &[u8]) {
    put_varint(out, u64::from(number << 3 | 2));
    put_varint(out, body.len() as u64);
    out.extend_from_slice(body);
}

/// A field with its raw bytes, for copying.
#[derive(Clone, Copy)]
pub(crate) struct WireField<'a> {
    pub(crate) key: u32,
    /// The bytes of key and value.
    pub(crate) raw: &'a [u8],
    /// The bytes of the value; for a length-delimited field without the length.
    pub(crate) body: &'a [u8],
}

/// The fields of a checked message. On a message that was not checked it may end early, but does not panic.
pub(crate) struct WireFields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for WireFields<'a> {
    type Item = WireField<'a>;

    fn next(&mut self) -> Option<WireField<'a>> {
        let (start, mut rest) = (self.0, self.0);
        if rest.is_empty() {
            return None;
        }
        let key = key(&mut rest).ok()?;
        let value = rest;
        let body = if key & 7 == 2 {
            delimited(&mut rest).ok()?
        } else {
            skip(key, &mut rest, DEPTH).ok()?;
            value.get(..value.len() - rest.len())?
        };
        self.0 = rest;
        Some(WireField { key, raw: start.get(..start.len() - rest.len())?, body })
    }
}
