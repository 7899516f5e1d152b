//! Kafka's codecs, each with one reused buffer under one limit.
//!
//! In: a codec, bytes, the most output. Out: the output, lent to a closure, or the reason why decompression stopped.
//! Bounded: by that limit, and by [`RETAINED`] between calls. Never: allocates a size only because the input declares
//! it.

mod gzip;
mod lz4;
mod snappy;
mod zstd;

#[cfg(test)]
pub(super) mod tests;

use std::borrow::Cow;
use std::cell::RefCell;

use barnabas_base::Codec;

/// The largest window of a zstd frame: what RFC 8878 asks every decoder to support. Level 3 uses 2 MiB.
pub(super) const WINDOW: usize = 8 << 20;
/// The most bytes that a thread's buffer keeps between pushes, and the same for its zstd context.
const RETAINED: usize = 4 << 20;
/// The initial size of the buffer, which is enough for most pushes.
const INITIAL_CAPACITY: usize = 64 << 10;

/// The limits of decompression.
#[derive(Clone, Copy, Debug)]
pub(super) struct DecompressLimits {
    /// The most output bytes.
    pub(super) output: usize,
    /// The largest block that may be decompressed in one step, for codecs that do so before the output can be checked.
    pub(super) block: usize,
}

impl From<usize> for DecompressLimits {
    fn from(output: usize) -> Self {
        Self { output, block: usize::MAX }
    }
}

/// Why decompression stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DecompressError {
    /// The output exceeded the limit.
    Limit,
    /// A frame requires a window larger than [`WINDOW`].
    Window,
    /// The input is not valid for this codec.
    Corrupt(Cow<'static, str>),
}

impl DecompressError {
    const TRUNCATED: Self = Self::Corrupt(Cow::Borrowed("truncated"));
}

/// The output, which exceeds `limit` only within one step.
struct Output<'a> {
    bytes: &'a mut Vec<u8>,
    limit: usize,
    block: usize,
}

impl Output<'_> {
    /// Reserves space for a step, doubling up to one byte beyond the limit.
    fn reserve(&mut self) -> Result<(), DecompressError> {
        self.check()?;
        let len = self.bytes.len();
        if len == self.bytes.capacity() {
            let more = len.max(INITIAL_CAPACITY).min(self.limit + 1 - len);
            self.bytes.reserve_exact(more);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), DecompressError> {
        if self.bytes.len() > self.limit { Err(DecompressError::Limit) } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        self.bytes.len() == self.bytes.capacity()
    }
}

/// The buffers and contexts that a thread reuses.
#[derive(Default)]
struct DecompressScratch {
    bytes: Vec<u8>,
    gzip: Option<gzip::GzipContext>,
    zstd: Option<zstd::ZstdContext>,
}

thread_local! {
    static SCRATCH: RefCell<DecompressScratch> = RefCell::default();
}

/// Decompresses `wire` and lends the result to `consume`, which must not decompress anything itself.
pub(super) fn with_scratch<T>(
    codec: Codec,
    wire: &[u8],
    limits: impl Into<DecompressLimits>,
    consume: impl FnOnce(Result<&mut [u8], DecompressError>) -> T,
) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        let done = scratch.decompress(codec, wire, limits);
        let answer = consume(done.map(|()| scratch.bytes.as_mut_slice()));
        scratch.trim();
        answer
    })
}

impl DecompressScratch {
    fn decompress(
        &mut self,
        codec: Codec,
        wire: &[u8],
        limits: impl Into<DecompressLimits>,
    ) -> Result<(), DecompressError> {
        self.bytes.clear();
        let DecompressLimits { output: limit, block } = limits.into();
        let mut out = Output { bytes: &mut self.bytes, limit, block };
        match codec {
            Codec::None => out.bytes.extend_from_slice(wire.get(..limit + 1).unwrap_or(wire)),
            Codec::Gzip => self.gzip.get_or_insert_default().decompress(wire, &mut out)?,
            Codec::Snappy => snappy::decompress(wire, &mut out)?,
            Codec::Lz4 => lz4::decompress(wire, &mut out)?,
            Codec::Zstd => self.zstd.get_or_insert_default().decompress(wire, &mut out)?,
        }
        out.check()
    }

    /// Frees the memory that only one large push needed.
    fn trim(&mut self) {
        if self.bytes.capacity() > RETAINED {
            self.bytes = Vec::new();
        }
        if self.zstd.as_ref().is_some_and(|context| context.size() > RETAINED) {
            self.zstd = None;
        }
    }
}
