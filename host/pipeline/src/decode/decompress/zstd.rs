//! RFC 8878, one frame or several.

use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer, ResetDirective, get_error_name};

use super::{DecompressError, Output, WINDOW};

/// `ZSTD_error_frameParameter_windowTooLarge`, negated as libzstd returns it.
const WINDOW_TOO_LARGE: usize = 16usize.wrapping_neg();

/// A reused context.
pub(super) struct ZstdContext(DCtx<'static>);

impl Default for ZstdContext {
    fn default() -> Self {
        let mut context = DCtx::create();
        context
            .set_parameter(DParameter::WindowLogMax(WINDOW.ilog2()))
            .expect("libzstd allows windows of 2^10 to 2^27");
        Self(context)
    }
}

impl ZstdContext {
    /// The size of the context in bytes, window included.
    pub(super) fn size(&self) -> usize {
        self.0.sizeof()
    }

    pub(super) fn decompress(&mut self, wire: &[u8], out: &mut Output<'_>) -> Result<(), DecompressError> {
        self.0.reset(ResetDirective::SessionOnly).map_err(to_error)?;
        let mut input = InBuffer::around(wire);
        loop {
            out.reserve()?;
            let written = out.bytes.len();
            let mut buffer = OutBuffer::around_pos(out.bytes, written);
            let hint = self.0.decompress_stream(&mut buffer, &mut input).map_err(to_error)?;
            match (hint, input.pos() == wire.len()) {
                (0, true) => return Ok(()),
                // All input is read, there is space left, and the frame has not ended.
                (1.., true) if !out.is_full() => return Err(DecompressError::TRUNCATED),
                _ => {}
            }
        }
    }
}

#[cold]
fn to_error(code: usize) -> DecompressError {
    if code == WINDOW_TOO_LARGE {
        DecompressError::Window
    } else {
        DecompressError::Corrupt(get_error_name(code).into())
    }
}
