//! The same metrics in one spelling and said once.
//!
//! In: a `MetricsData` that [`check`](crate::walk::check) accepted, and [`Rules`]. Out: another, in which equal
//! resources, scopes and metrics stand once with all their points, gauge points without a number (NaN) are gone, and
//! names, descriptions and units are as the rules want them. What is equal is decided by bytes; everything else is copied as it stands, unknown
//! fields too. Points of one metric keep their order; groups stand in the order of their first member, so the result
//! depends on nothing but the input, and doing it twice is doing it once. Bounded by [`MAX_PARTS`] and by a limit on
//! the result. Its cost grows with the bytes and no faster, whatever they are: equals are found by their hash, and each
//! message is read a fixed number of times. Never builds a message, never panics, also on bytes that nobody checked.

mod parse;
mod rename;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;

/// Most resources, scopes, metrics and points of a push that are looked at: each takes up to some 150 bytes meanwhile.
/// Also the most attributes that are renamed. A real push of 16 MiB has fewer of either.
pub const MAX_PARTS: usize = 1 << 17;

/// A point label with an integer value that becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberedLabel<'a> {
    /// Its key as sent.
    pub from: &'a str,
    /// Its key from now on. A point that has this one too is left as it is.
    pub to: &'a str,
    /// What stands before the number.
    pub prefix: &'a str,
}

/// How names shall be spelt. Of several that fit, the first counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NormaliseRules<'a> {
    /// Keys of resource attributes, and what they become. A resource that has the other key too is left as it is.
    pub resource_keys: &'a [(&'a str, &'a str)],
    /// Labels of points.
    pub labels: &'a [NumberedLabel<'a>],
    /// Beginnings of metric names, and what they become.
    pub prefixes: &'a [(&'a str, &'a str)],
    /// What is said of the metrics, sorted by name. A metric that is not listed loses its description and unit, since two
    /// clients may say different things of it. `None` leaves descriptions and units as they were sent.
    pub described: Option<&'a [MetricDescription<'a>]>,
}

/// What is said of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDescription<'a> {
    /// In full, as it is after the rules for prefixes.
    pub name: &'a str,
    /// May be empty.
    pub description: &'a str,
    /// UCUM; may be empty.
    pub unit: &'a str,
}

/// Why a push stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormaliseError {
    /// It has more than [`MAX_PARTS`] resources, scopes, metrics and points, or attributes to rename.
    TooManyParts,
    /// A metric has its data in two pieces. Protobuf says what that means; no encoder writes it.
    SplitData,
    /// The result would have more bytes than this.
    TooLong(usize),
}

impl fmt::Display for NormaliseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyParts => {
                write!(f, "it has more than {MAX_PARTS} resources, scopes, metrics and points, or names to change")
            }
            Self::SplitData => f.write_str("a metric of it has its data in two pieces"),
            Self::TooLong(limit) => write!(f, "it would have more than {limit} bytes"),
        }
    }
}

impl std::error::Error for NormaliseError {}

/// Rewrites `metrics_data` into at most `limit` bytes.
pub fn normalise(metrics_data: &[u8], rules: &NormaliseRules<'_>, limit: usize) -> Result<Vec<u8>, NormaliseError> {
    parse::tree(metrics_data, rules)?.write(limit)
}
