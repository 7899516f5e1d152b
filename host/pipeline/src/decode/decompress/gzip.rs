//! RFC 1952, one member or several. Header and trailer are parsed here, so that the inflate state can be reused.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{DecompressError, Output};

const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A reused inflate state.
pub(super) struct GzipContext(Decompress);

impl Default for GzipContext {
    fn default() -> Self {
        Self(Decompress::new(false))
    }
}

impl GzipContext {
    /// Bytes after the last member that do not begin another member are ignored, as Java's reader and gzip do.
    pub(super) fn decompress(&mut self, wire: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
        let mut rest = self.member(wire, out)?;
        while rest.starts_with(&MAGIC) {
            rest = self.member(rest, out)?;
        }
        Ok(())
    }

    fn member<'a>(&mut self, wire: &'a [u8], out: &mut Output<'_>) -> Result<&'a [u8], DecompressError> {
        let body = header(wire)?;
        let start = out.bytes.len();
        let rest = self.inflate(body, out)?;
        let (trailer, rest) = rest.split_first_chunk::<8>().ok_or(DecompressError::TRUNCATED)?;
        let mut crc = Crc::new();
        crc.update(out.bytes.get(start..).unwrap_or_default());
        let sums = u64::from(crc.amount()) << 32 | u64::from(crc.sum());
        if sums == u64::from_le_bytes(*trailer) {
            Ok(rest)
        } else {
            Err(DecompressError::Corrupt("checksum mismatch".into()))
        }
    }

    fn inflate<'a>(&mut self, mut rest: &'a [u8], out: &mut Output<'_>) -> Result<&'a [u8], DecompressError> {
        self.0.reset(false);
        loop {
            out.reserve()?;
            let before = self.0.total_in();
            let status = self.0.decompress_vec(rest, out.bytes, FlushDecompress::None);
            let status = status.map_err(|error| DecompressError::Corrupt(error.to_string().into()))?;
            let taken = (self.0.total_in() - before) as usize;
            rest = rest.get(taken..).unwrap_or_default();
            out.check()?;
            match status {
                Status::StreamEnd => return Ok(rest),
                // There is space left, so the decoder waits for input, and there is none.
                _ if rest.is_empty() && !out.is_full() => return Err(DecompressError::TRUNCATED),
                _ => {}
            }
        }
    }
}

/// The input after the header.
fn header(wire: &[u8]) -> Result<&[u8], DecompressError> {
    let (fixed, rest) = wire.split_first_chunk::<10>().ok_or(DecompressError::TRUNCATED)?;
    let [0x1f, 0x8b, 8, flags, ..] = *fixed else { return Err(DecompressError::Corrupt("no gzip header".into())) };
    if flags & 0xe0 != 0 {
        return Err(DecompressError::Corrupt("reserved header flags".into()));
    }
    optional(flags, rest).ok_or(DecompressError::TRUNCATED)
}

/// Skips the extra field, name, comment and header checksum.
fn optional(flags: u8, mut rest: &[u8]) -> Option<&[u8]> {
    if flags & 4 != 0 {
        let (len, behind) = rest.split_first_chunk::<2>()?;
        rest = behind.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for text in [8, 16] {
        if flags & text != 0 {
            let end = rest.iter().position(|byte| *byte == 0)?;
            rest = rest.get(end + 1..)?;
        }
    }
    if flags & 2 != 0 { rest.get(2..) } else { Some(rest) }
}
