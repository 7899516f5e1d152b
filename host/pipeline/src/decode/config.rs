//! Limits on the size of a decoded push.

use crate::admission::Refusal;
use barnabas_base::Codec;

/// Limits of decompression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeConfig {
    /// The most bytes of a push, decompressed.
    pub max_output: usize,
    /// The most output bytes for each input byte, checked only if the output exceeds [`DecodeConfig::RATIO_FREE`]. Real
    /// pushes reach 10 to 25, decompression bombs begin at 1,000.
    pub max_ratio: u32,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self { max_output: 16 << 20, max_ratio: 200 }
    }
}

impl DecodeConfig {
    /// Output below this size is harmless, whatever the ratio.
    pub const RATIO_FREE: usize = 1 << 20;

    /// The most output bytes for `wire_len` input bytes.
    pub(super) fn output_limit(&self, wire_len: usize) -> usize {
        self.max_output.min(self.by_ratio(wire_len))
    }

    fn by_ratio(&self, wire_len: usize) -> usize {
        wire_len.saturating_mul(self.max_ratio as usize).max(Self::RATIO_FREE)
    }

    /// The refusal of a push of `wire_len` bytes whose output exceeds [`DecodeConfig::output_limit`].
    #[cold]
    pub(super) fn exceeded(&self, codec: Codec, wire_len: usize) -> Refusal {
        let (max, by_ratio) = (self.max_output, self.by_ratio(wire_len));
        Refusal::TooLarge(if max <= by_ratio {
            format!("{codec}: more than {max} bytes decompressed; request fewer metrics or raise this limit")
        } else {
            let ratio = self.max_ratio;
            format!(
                "{codec}: {wire_len} bytes decompress to more than {by_ratio}, beyond a ratio of {ratio} (decompression \
                 bomb)"
            )
        })
    }
}
