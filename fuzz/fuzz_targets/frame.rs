//! A byte stream, cut anyhow, comes out as exactly the frames that went in, and no frame ever holds more memory than
//! what has arrived allows. The first input byte says how the stream is cut.
#![no_main]

use bytes::BufMut as _;
use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "the target uses a part of what it includes")]
#[path = "../../host/src"]
mod host {
    pub mod listener {
        pub mod kafka {
            pub mod frame;
        }
    }
}
use host::listener::kafka::frame::{Filling, length};

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

/// Feeds at most `step` bytes at a time; `None` when the stream ends first.
fn fill(len: usize, mut bytes: &[u8], step: usize) -> Option<bytes::Bytes> {
    let mut filling = Filling::new(len);
    let (mut arrived, mut held) = (0, 0);
    while !filling.is_full() {
        let wants = filling.wants();
        filling.grow(wants);
        held += wants;
        assert!(held <= (2 * arrived).max(16 << 10).min(len), "{held} bytes held for {arrived} of {len}");
        let mut room = filling.room();
        assert!(room.remaining_mut() > 0 && room.remaining_mut() <= held - arrived);
        let now = room.remaining_mut().min(step).min(bytes.len());
        if now == 0 {
            return None;
        }
        let (chunk, after) = bytes.split_at(now);
        room.put_slice(chunk);
        (arrived, bytes) = (arrived + now, after);
    }
    Some(filling.finish())
}
