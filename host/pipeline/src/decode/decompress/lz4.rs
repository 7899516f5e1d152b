//! LZ4 frames, one or several.

use std::io::{self, BufRead as _, Read};

use lz4_flex::frame::FrameDecoder;

use super::{DecompressError, Output};

pub(super) fn decompress(wire: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
    let mut frames = FrameDecoder::new(FrameInput { rest: wire, exhausted: false });
    let mut boundary = true;
    loop {
        if boundary && largest_block(frames.get_ref().rest) > out.block {
            return Err(DecompressError::Limit);
        }
        let chunk = frames.fill_buf().map_err(to_error)?;
        let len = chunk.len();
        if len > out.limit - out.bytes.len() {
            return Err(DecompressError::Limit);
        }
        out.bytes.extend_from_slice(chunk);
        frames.consume(len);
        // No output: the end of a frame, or an empty block.
        boundary = len == 0;
        match frames.get_ref() {
            FrameInput { exhausted: true, .. } => return Err(DecompressError::TRUNCATED),
            FrameInput { rest: [], .. } if len == 0 => return Ok(()),
            _ => {}
        }
    }
}

/// How large the blocks of the frame that begins here may be, according to its descriptor (LZ4 Frame Format, "BD
/// byte"). The decoder decompresses a block as a whole.
pub(super) fn largest_block(frame: &[u8]) -> usize {
    match frame {
        [0x04, 0x22, 0x4d, 0x18, _, descriptor, ..] => 1 << (8 + 2 * (descriptor >> 4 & 7)),
        // A legacy frame.
        [0x02, 0x21, 0x4c, 0x18, ..] => 8 << 20,
        _ => 0,
    }
}

/// The decoder treats the end of input between two blocks as the end of a frame; but a complete frame ends with a mark,
/// after which the decoder does not read.
struct FrameInput<'a> {
    rest: &'a [u8],
    /// The decoder tried to read past the end.
    exhausted: bool,
}

impl Read for FrameInput<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(buf)?;
        self.exhausted |= read == 0 && !buf.is_empty();
        Ok(read)
    }
}

#[cold]
fn to_error(error: io::Error) -> DecompressError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => DecompressError::TRUNCATED,
        _ => DecompressError::Corrupt(error.to_string().into()),
    }
}
