//! Normalises metrics: merges equal parts, removes NaN gauges, and renames metrics and labels.
//!
//! In: a `MetricsData` that [`check`](crate::walk::check) accepted, and [`NormaliseRules`]. Out: a `MetricsData` in which
//! equal resources, scopes and metrics are merged with all their data points, gauge points with the value NaN are removed,
//! and names, descriptions and units follow the rules. Parts are equal if their bytes are equal; everything else is copied
//! unchanged, including unknown fields. The points of a metric stay in order, and groups are in the order of their first
//! member, so the result is deterministic, and normalising it again changes nothing. Bounded by [`MAX_PARTS`] and by a
//! limit on the result. The cost is linear in the number of bytes for any input: equal parts are found by hashing, and
//! each message is read a fixed number of times. Never builds a message, and never panics, even on bytes that were not
//! checked.

mod parse;
mod rename;
mod tree;

#[cfg(test)]
mod tests;

use std::fmt;

/// Maximum number of resources, scopes, metrics and data points of a push; each needs up to about 150 bytes of memory. Also
/// the maximum number of renamed attributes. A real push of 16 MiB has fewer of both.
pub const MAX_PARTS: usize = 1 << 17;

/// A point label with an integer value that is converted to text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberedLabel<'a> {
    /// The key as sent.
    pub from: &'a str,
    /// The new key. A point that already has this key is not changed.
    pub to: &'a str,
    /// The text before the number.
    pub prefix: &'a str,
}

/// Rules for names. The first matching rule of a list applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NormaliseRules<'a> {
    /// Keys of resource attributes and their new keys. A resource that already has the new key is not changed.
    pub resource_keys: &'a [(&'a str, &'a str)],
    /// Labels of data points.
    pub labels: &'a [NumberedLabel<'a>],
    /// Prefixes of metric names and their new prefixes.
    pub prefixes: &'a [(&'a str, &'a str)],
    /// Descriptions and units of metrics, sorted by name. The description and unit of other metrics are removed, since
    /// clients may send different ones. `None` leaves descriptions and units unchanged.
    pub described: Option<&'a [MetricDescription<'a>]>,
}

/// Description and unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDescription<'a> {
    /// The full name, after the rules for prefixes.
    pub name: &'a str,
    /// May be empty.
    pub description: &'a str,
    /// UCUM; may be empty.
    pub unit: &'a str,
}

/// Why a push cannot be normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormaliseError {
    /// It has more than [`MAX_PARTS`] resources, scopes, metrics and data points, or attributes to rename.
    TooManyParts,
    /// The `data` of a metric occurs twice. Protobuf defines how to merge that, but no encoder produces it.
    SplitData,
    /// The result would exceed this number of bytes.
    TooLong(usize),
}

impl fmt::Display for NormaliseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyParts => {
                write!(
                    f,
                    "the push has more than {MAX_PARTS} resources, scopes, metrics and data points, or names to change"
                )
            }
            Self::SplitData => f.write_str("the `data` field of a metric occurs twice"),
            Self::TooLong(limit) => write!(f, "the normalised push would exceed {limit} bytes"),
        }
    }
}

impl std::error::Error for NormaliseError {}

/// Normalises `metrics_data` into at most `limit` bytes.
pub fn normalise(metrics_data: &[u8], rules: &NormaliseRules<'_>, limit: usize) -> Result<Vec<u8>, NormaliseError> {
    parse::tree(metrics_data, rules)?.write(limit)
}
