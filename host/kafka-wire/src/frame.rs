//! Frames: a length, followed by that many bytes.
//!
//! Knows no socket. Memory follows the bytes that have arrived and not the announced length: it grows to at most twice
//! what has arrived (or one first chunk), and never beyond the length.

use bytes::buf::Limit;
use bytes::{BufMut, Bytes};

/// Enough for most requests, and the most memory that a peer can hold by only announcing a frame.
const FIRST_CHUNK: usize = 16 << 10;

/// A frame length that is not valid here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLength {
    /// The length is negative.
    #[error("frame length {0} is negative")]
    Negative(i32),
    /// The length exceeds the maximum.
    #[error("frame of {len} bytes; the cap is {cap}")]
    TooLong {
        /// The declared length, in bytes.
        len: usize,
        /// The maximum length, in bytes.
        cap: usize,
    },
}

/// The length of the frame that follows this prefix.
pub fn length(prefix: [u8; 4], cap: usize) -> Result<usize, BadLength> {
    let len = i32::from_be_bytes(prefix);
    match usize::try_from(len) {
        Err(_) => Err(BadLength::Negative(len)),
        Ok(len) if len > cap => Err(BadLength::TooLong { len, cap }),
        Ok(len) => Ok(len),
    }
}

/// A frame that is being received.
#[derive(Debug)]
pub struct FrameBuffer {
    len: usize,
    body: Vec<u8>,
}

impl FrameBuffer {
    /// A buffer for a frame of this length.
    pub fn new(len: usize) -> Self {
        Self { len, body: Vec::new() }
    }

    /// Whether all bytes of the frame have arrived.
    pub fn is_full(&self) -> bool {
        self.body.len() == self.len
    }

    /// How many bytes to reserve before the next read; 0 while there is spare capacity.
    pub fn bytes_to_reserve(&self) -> usize {
        if self.body.len() < self.body.capacity() {
            return 0;
        }
        self.body.len().max(FIRST_CHUNK).min(self.len - self.body.len())
    }

    /// Reserves this many more bytes.
    pub fn reserve(&mut self, bytes: usize) {
        self.body.reserve_exact(bytes);
    }

    /// The spare capacity: never beyond the end of the frame, never more than was reserved.
    pub fn spare(&mut self) -> Limit<&mut Vec<u8>> {
        let room = self.body.capacity().min(self.len) - self.body.len();
        (&mut self.body).limit(room)
    }

    /// The frame.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_accepted_up_to_the_cap() {
        assert_eq!(length([0, 0, 0, 0], 8), Ok(0));
        assert_eq!(length([0, 0, 0, 8], 8), Ok(8));
        assert_eq!(length([0, 0, 0, 9], 8), Err(BadLength::TooLong { len: 9, cap: 8 }));
        assert_eq!(length([0x80, 0, 0, 0], 8), Err(BadLength::Negative(i32::MIN)));
        assert_eq!(length(*b"GET ", 1 << 20), Err(BadLength::TooLong { len: 0x4745_5420, cap: 1 << 20 }));
    }

    #[test]
    fn memory_follows_what_arrives() {
        let len = 1 << 20;
        let mut filling = FrameBuffer::new(len);
        assert_eq!(filling.body.capacity(), 0, "nothing before the first byte is due");
        let mut sent = 0_usize;
        while !filling.is_full() {
            let more = filling.bytes_to_reserve();
            filling.reserve(more);
            let mut room = filling.spare();
            let now = room.remaining_mut().min(1000);
            room.put_bytes((sent % 251) as u8, now);
            sent += now;
            assert!(filling.body.capacity() <= (2 * sent).max(FIRST_CHUNK).min(len));
        }
        assert_eq!(sent, len);
        assert_eq!(filling.bytes_to_reserve(), 0);
        assert_eq!(filling.finish().len(), len);
    }

    #[test]
    fn a_frame_does_not_consume_the_next_one() {
        let mut filling = FrameBuffer::new(3);
        filling.reserve(filling.bytes_to_reserve());
        assert_eq!(filling.spare().remaining_mut(), 3);
        filling.spare().put_slice(b"abc");
        assert!(filling.is_full());
        assert_eq!(filling.spare().remaining_mut(), 0);
        assert_eq!(&filling.finish()[..], b"abc");
    }
}
