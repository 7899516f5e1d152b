//! Compression like each family of clients: Java sends Snappy as a xerial stream, librdkafka as one raw block;
//! librdkafka's gzip does not compress (level 0).

use std::cell::RefCell;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};

use barnabas_base::Codec;

/// A family of clients with the same compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClientFamily {
    Java,
    Librdkafka,
}

/// The header of a xerial stream: its name, version 1, compatible with version 1.
const XERIAL: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// Maximum uncompressed size of a block.
const XERIAL_BLOCK: usize = 32 << 10;

thread_local! {
    /// Reused, because creating a context costs far more than compressing a push.
    static ZSTD: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
}

/// Returns the bytes as they are sent.
pub(super) fn compress(family: ClientFamily, codec: Codec, bytes: &[u8]) -> Result<Vec<u8>> {
    let compressed = match (codec, family) {
        (Codec::None, _) => Ok(bytes.to_vec()),
        (Codec::Gzip, ClientFamily::Java) => gzip(bytes, flate2::Compression::default()),
        (Codec::Gzip, ClientFamily::Librdkafka) => gzip(bytes, flate2::Compression::none()),
        (Codec::Snappy, ClientFamily::Java) => xerial(bytes),
        (Codec::Snappy, ClientFamily::Librdkafka) => Ok(snap::raw::Encoder::new().compress_vec(bytes)?),
        (Codec::Lz4, _) => lz4(bytes),
        (Codec::Zstd, _) => zstd(bytes),
    };
    compressed.with_context(|| format!("cannot compress a payload with {codec}"))
}

fn gzip(bytes: &[u8], level: flate2::Compression) -> io::Result<Vec<u8>> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), level);
    out.write_all(bytes)?;
    out.finish()
}

fn lz4(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
    out.write_all(bytes)?;
    Ok(out.finish()?)
}

fn zstd(bytes: &[u8]) -> io::Result<Vec<u8>> {
    ZSTD.with_borrow_mut(|kept| {
        let compressor = match kept.take() {
            Some(compressor) => compressor,
            None => zstd::bulk::Compressor::new(3)?,
        };
        kept.insert(compressor).compress(bytes)
    })
}

fn xerial(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = XERIAL.to_vec();
    for block in bytes.chunks(XERIAL_BLOCK) {
        let block = snap::raw::Encoder::new().compress_vec(block)?;
        out.extend((block.len() as u32).to_be_bytes());
        out.extend(block);
    }
    Ok(out)
}
