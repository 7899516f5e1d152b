//! Snappy as Kafka clients send it: one raw block (librdkafka) or the xerial stream (Java).

use super::{DecompressError, Output};

/// The beginning of a xerial stream; it is followed by two numbers of four bytes each, version and oldest compatible
/// version.
const XERIAL: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// No block can expand more: three bytes copy at most 64.
const EXPANSION: usize = 32;

pub(super) fn decompress(wire: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    if !wire.starts_with(&XERIAL) {
        return block(wire, out);
    }
    let mut rest = wire;
    while !rest.is_empty() {
        // Streams may follow each other, as Java's reader allows.
        rest = match rest.strip_prefix(&XERIAL) {
            Some(versions) => versions.get(8..).ok_or(DecompressError::TRUNCATED)?,
            None => chunk(rest, out)?,
        };
    }
    Ok(())
}

fn chunk<'a>(rest: &'a [u8], out: &mut Output<'_>) -> Result<&'a [u8], DecompressError> {
    let (len, rest) = rest.split_first_chunk::<4>().ok_or(DecompressError::TRUNCATED)?;
    let (body, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(DecompressError::TRUNCATED)?;
    block(body, out)?;
    Ok(rest)
}

fn block(block: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    let declared = snap::raw::decompress_len(block).map_err(corrupt)?;
    if declared > block.len().saturating_mul(EXPANSION) {
        return Err(DecompressError::Corrupt("a block declares more bytes than it can contain".into()));
    }
    let start = out.bytes.len();
    if declared > out.limit - start {
        return Err(DecompressError::Limit);
    }
    out.bytes.resize(start + declared, 0);
    let room = out.bytes.get_mut(start..).unwrap_or_default();
    snap::raw::Decoder::new().decompress(block, room).map(|_| ()).map_err(corrupt)
}

#[cold]
fn corrupt(error: snap::Error) -> DecompressError {
    DecompressError::Corrupt(error.to_string().into())
}
