use std::io::Write as _;

use super::*;

const LIMIT: usize = 1 << 20;

/// Text that compresses like telemetry.
fn sample(len: usize) -> Vec<u8> {
    let names = (0u32..).map(|n| format!("org.apache.kafka.producer.metric-{} ", n.wrapping_mul(2_654_435_761) >> 20));
    names.flat_map(String::into_bytes).take(len).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::GzBuilder::new().filename("f").comment("c").extra(b"extra".as_slice());
    encoder = encoder.mtime(7);
    let mut encoder = encoder.write(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(data, 3).unwrap()
}

fn lz4(data: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn snappy_raw(data: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(data).unwrap()
}

fn snappy_xerial(data: &[u8]) -> Vec<u8> {
    let mut out = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01".to_vec();
    for chunk in data.chunks(32 << 10) {
        let block = snappy_raw(chunk);
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    out
}

pub(crate) type Encode = fn(&[u8]) -> Vec<u8>;
pub(crate) const ENCODERS: [(Codec, Encode); 5] = [
    (Codec::Gzip, gzip),
    (Codec::Zstd, zstd),
    (Codec::Lz4, lz4),
    (Codec::Snappy, snappy_raw),
    (Codec::Snappy, snappy_xerial),
];

fn decompress(codec: Codec, wire: &[u8], limit: impl Into<DecompressLimits>) -> Result<Vec<u8>, DecompressError> {
    with_scratch(codec, wire, limit, |bytes| bytes.map(|bytes| bytes.to_vec()))
}

#[test]
fn every_codec_round_trips() {
    for len in [1, 100, 10_000, 200_000] {
        for (codec, encode) in ENCODERS {
            assert!(decompress(codec, &encode(&sample(len)), LIMIT) == Ok(sample(len)), "{codec}, {len} bytes");
        }
    }
}

#[test]
fn consecutive_frames_are_joined() {
    for (codec, encode) in ENCODERS.into_iter().filter(|(_, encode)| *encode as usize != snappy_raw as Encode as usize)
    {
        let twice = [encode(b"one, "), encode(b""), encode(b"two")].concat();
        assert_eq!(decompress(codec, &twice, LIMIT).as_deref(), Ok(b"one, two".as_slice()), "{codec}");
    }
}

#[test]
fn every_prefix_is_refused() {
    for (codec, encode) in ENCODERS {
        let whole = encode(&sample(2_000));
        for end in 1..whole.len() {
            let prefix = decompress(codec, &whole[..end], LIMIT);
            // The header of a xerial stream without a chunk is a complete, empty stream.
            let nothing = end == 16 && whole.starts_with(b"\x82SNAPPY\x00");
            assert_eq!(prefix.is_ok(), nothing, "{codec}, {end} of {} bytes", whole.len());
        }
    }
}

#[test]
fn a_changed_byte_never_does_more_than_change_the_output() {
    for (codec, encode) in ENCODERS {
        let whole = encode(&sample(2_000));
        for at in 0..whole.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= mask;
                let out = decompress(codec, &changed, LIMIT);
                if codec == Codec::Gzip {
                    assert!(out.is_err() || out == Ok(sample(2_000)), "the checksum detects it, byte {at}");
                }
            }
        }
        // The context still works afterwards.
        assert!(decompress(codec, &whole, LIMIT) == Ok(sample(2_000)));
    }
}

#[test]
fn output_limit_obeyed() {
    for (codec, encode) in ENCODERS {
        assert_eq!(decompress(codec, &encode(&vec![0; LIMIT]), LIMIT).map(|out| out.len()), Ok(LIMIT), "{codec}");
    }
}

#[test]
fn output_limit_violated() {
    for (codec, encode) in ENCODERS {
        assert_eq!(decompress(codec, &encode(&vec![0; LIMIT + 1]), LIMIT), Err(DecompressError::Limit), "{codec}");
    }
}

#[test]
fn bombs_are_stopped_in_bounded_memory() {
    let zeros = vec![0; 64 << 20];
    for (codec, encode) in ENCODERS {
        let bomb = encode(&zeros);
        let mut scratch = DecompressScratch::default();
        assert_eq!(scratch.decompress(codec, &bomb, LIMIT), Err(DecompressError::Limit), "{codec}");
        assert!(scratch.bytes.capacity() <= 2 * LIMIT, "{codec} took {} bytes", scratch.bytes.capacity());
        assert!(scratch.zstd.as_ref().is_none_or(|context| context.size() <= RETAINED));
    }
}

/// More than a thousand bytes of output for each byte on the wire.
#[test]
fn bombs_with_a_high_ratio_are_stopped() {
    let zeros = vec![0; 64 << 20];
    let gzip_in_gzip = gzip(&zeros);
    assert!(zeros.len() / gzip_in_gzip.len() >= 1_000);
    assert_eq!(decompress(Codec::Gzip, &gzip_in_gzip, LIMIT), Err(DecompressError::Limit));
    let steep = zstd(&zeros);
    assert!(zeros.len() / steep.len() >= 1_000);
    assert_eq!(decompress(Codec::Zstd, &steep, LIMIT), Err(DecompressError::Limit));
    // lz4 and snappy cannot expand that far, but they can declare it.
    let declared = decompress(Codec::Snappy, b"\x80\x80\x40\x00x", 16 << 20);
    assert_eq!(declared, Err(DecompressError::Corrupt("a block declares more bytes than it can contain".into())));
    let mut declares = b"\x04\x22\x4d\x18\x68\x70\x00\x00\x00\x00\x01\x00\x00\x00".to_vec();
    declares.push(0);
    assert!(matches!(decompress(Codec::Lz4, &declares, LIMIT), Err(DecompressError::Corrupt(_))));
}

#[test]
fn window_limit_obeyed() {
    assert!(decompress(Codec::Zstd, &windowed(23), LIMIT).is_ok());
}

#[test]
fn window_limit_violated() {
    assert_eq!(decompress(Codec::Zstd, &windowed(24), LIMIT), Err(DecompressError::Window));
}

#[test]
fn the_memory_of_a_large_push_is_freed() {
    let mut scratch = DecompressScratch::default();
    let wire = zstd(&sample(5 << 20));
    assert_eq!(scratch.decompress(Codec::Zstd, &wire, 16_usize << 20), Ok(()));
    assert!(scratch.bytes.capacity() > RETAINED);
    scratch.trim();
    assert!(scratch.bytes.capacity() <= RETAINED);
    assert_eq!(scratch.decompress(Codec::Zstd, &windowed(23), LIMIT), Ok(()));
    scratch.trim();
    assert!(scratch.zstd.is_none_or(|context| context.size() <= RETAINED));
}

/// A frame that declares its window instead of its size.
fn windowed(log: u32) -> Vec<u8> {
    let mut encoder = ::zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.window_log(log).unwrap();
    encoder.write_all(&sample(1_000)).unwrap();
    encoder.flush().unwrap();
    encoder.write_all(&sample(1_000)).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bytes_of_no_codec_are_refused() {
    for codec in Codec::OFFERED {
        for bytes in [b"\x0a\x00".as_slice(), b"{}", b"\xff\xff\xff\xff\xff\xff", &[0; 64]] {
            let out = decompress(codec, bytes, LIMIT);
            // Raw snappy has no magic number: a zero byte is an empty block, but the bytes after it are invalid.
            assert!(matches!(out, Err(DecompressError::Corrupt(_))), "{codec} took {bytes:02x?} for {out:?}");
        }
    }
}

#[test]
fn bytes_after_a_gzip_member_are_ignored_as_java_does() {
    let padded = [gzip(b"data").as_slice(), &[0; 9]].concat();
    assert_eq!(decompress(Codec::Gzip, &padded, LIMIT).as_deref(), Ok(b"data".as_slice()));
}

#[test]
fn an_lz4_block_is_decompressed_only_within_the_block_limit() {
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    let frame = |size| {
        let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().block_size(size), Vec::new());
        encoder.write_all(&sample(100)).unwrap();
        encoder.finish().unwrap()
    };
    let (small, large) = (frame(BlockSize::Max256KB), frame(BlockSize::Max1MB));
    let limits = DecompressLimits { output: LIMIT, block: 256 << 10 };
    let two = [&small[..], &small].concat();
    assert_eq!(decompress(Codec::Lz4, &two, limits).unwrap().len(), 200);
    for wire in [large.clone(), [&small[..], &large].concat()] {
        assert_eq!(decompress(Codec::Lz4, &wire, limits), Err(DecompressError::Limit));
        assert!(decompress(Codec::Lz4, &wire, LIMIT).is_ok());
    }
    for (size, bytes) in
        [(BlockSize::Max64KB, 64 << 10), (BlockSize::Max256KB, 256 << 10), (BlockSize::Max4MB, 4 << 20)]
    {
        assert_eq!(lz4::largest_block(&frame(size)), bytes);
    }
}
