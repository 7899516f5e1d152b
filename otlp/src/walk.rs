//! A check of OTLP bytes that allocates nothing.

/// How the sums and histograms of a push relate to time, as its points say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temporality {
    /// No sum or histogram.
    #[default]
    None,
    /// Running totals.
    Cumulative,
    /// Changes since the push before.
    Delta,
    /// Both kinds.
    Mixed,
}
