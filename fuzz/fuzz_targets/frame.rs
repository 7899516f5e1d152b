//! A byte stream that arrives in arbitrary pieces yields exactly the frames that were sent, and a frame never uses more
//! memory than the bytes that have arrived justify. The first input byte selects the pieces.
#![no_main]

use barnabas_kafka_wire::frame::{FrameBuffer, length};
use bytes::BufMut as _;
use libfuzzer_sys::fuzz_target;

const CAP: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&cut, stream)) = input.split_first() else { return };
    let mut rest = stream;
    while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
        let Ok(len) = length(*prefix, CAP) else { return };
        assert!(len <= CAP && len == u32::from_be_bytes(*prefix) as usize);
        let Some(frame) = fill(len, after, usize::from(cut) + 1) else { return };
        assert_eq!(frame, after[..len]);
        rest = &after[len..];
    }
});

/// Feeds at most `step` bytes at a time; `None` if the stream ends early.
fn fill(len: usize, mut bytes: &[u8], step: usize) -> Option<bytes::Bytes> {
    let mut buffer = FrameBuffer::new(len);
    let (mut arrived, mut capacity) = (0, 0);
    while !buffer.is_full() {
        let reserved = buffer.bytes_to_reserve();
        buffer.reserve(reserved);
        capacity += reserved;
        assert!(capacity <= (2 * arrived).max(16 << 10).min(len), "{capacity} bytes capacity for {arrived} of {len}");
        let mut spare = buffer.spare();
        assert!(spare.remaining_mut() > 0 && spare.remaining_mut() <= capacity - arrived);
        let now = spare.remaining_mut().min(step).min(bytes.len());
        if now == 0 {
            return None;
        }
        let (chunk, after) = bytes.split_at(now);
        spare.put_slice(chunk);
        (arrived, bytes) = (arrived + now, after);
    }
    Some(buffer.finish())
}
