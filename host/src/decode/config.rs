//! How much may come out of a push.

use crate::admission::Refusal;
use crate::push::Codec;

/// Caps on decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeConfig {
    /// Most bytes of a push, decompressed.
    pub max_output: usize,
    /// Most bytes out for each byte in, looked at only where more than [`Config::RATIO_FREE`] come out. Real pushes
    /// reach 10 to 25, bombs begin at 1,000.
    pub max_ratio: u32,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self { max_output: 16 << 20, max_ratio: 200 }
    }
}

impl DecodeConfig {
    /// Output below which the ratio does not matter: what it may be without harm.
    pub const RATIO_FREE: usize = 1 << 20;

    /// Most bytes that may come out of `wire_len`.
    pub(super) fn output_limit(&self, wire_len: usize) -> usize {
        self.max_output.min(self.by_ratio(wire_len))
    }

    fn by_ratio(&self, wire_len: usize) -> usize {
        wire_len.saturating_mul(self.max_ratio as usize).max(Self::RATIO_FREE)
    }

    /// The refusal of a push of `wire_len` bytes out of which more than [`Config::limit`] came.
    #[cold]
    pub(super) fn exceeded(&self, codec: Codec, wire_len: usize) -> Refusal {
        let (max, by_ratio) = (self.max_output, self.by_ratio(wire_len));
        Refusal::TooLarge(if max <= by_ratio {
            format!("{codec}: more than {max} bytes decompressed; ask for fewer metrics or raise this limit")
        } else {
            let ratio = self.max_ratio;
            format!("{codec}: {wire_len} bytes became more than {by_ratio}, beyond a ratio of {ratio}, as bombs do")
        })
    }
}
