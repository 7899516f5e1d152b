//! Reproducible jitter.

/// A source of jitter: a generator (SplitMix64), or in tests a constant.
#[derive(Clone, Debug)]
pub(super) enum Jitter {
    Seeded(u64),
    /// A constant fraction, for the earliest and the latest time at which a client may act.
    #[cfg(test)]
    Fixed(f64),
}

impl Jitter {
    pub(super) fn new(seed: u64) -> Self {
        Self::Seeded(seed)
    }

    /// Uniform from `least` up to `most`.
    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.fraction()
    }

    fn fraction(&mut self) -> f64 {
        match self {
            // 53 bits: the precision of a double.
            Self::Seeded(state) => (next(state) >> 11) as f64 / (1_u64 << 53) as f64,
            #[cfg(test)]
            Self::Fixed(fraction) => *fraction,
        }
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
