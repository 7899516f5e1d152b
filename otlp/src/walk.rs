//! Validates OTLP bytes without allocating.
//!
//! In: bytes that should be a `MetricsData`. Out: a summary of the message, or the position and the reason of the error.
//! Accepts exactly what prost accepts, including unknown fields, except that ill-formed UTF-8 is counted instead of
//! refused; [`repair`] replaces it in place. Bounded by the bytes and by a nesting depth of 100. Never builds a struct.
//!
//! Each message is a table of its fields, which `message!` turns into a loop over keys of one byte.

mod names;
mod schema;

#[cfg(test)]
mod tests;

use std::fmt;

pub use names::names;

pub use crate::wire::Reason;
use crate::wire::{self, WireError};
use schema::Walk;

/// The temporality of the sums and histograms of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PushTemporality {
    /// No sum or histogram.
    #[default]
    None,
    /// All are cumulative.
    Cumulative,
    /// All have changes since the previous push.
    Delta,
    /// Some are cumulative, others delta.
    Mixed,
}

/// The summary of a valid message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushSummary {
    /// Number of data points of all kinds.
    pub points: u32,
    /// Temporality of the sums and histograms.
    pub temporality: PushTemporality,
    /// Number of `ResourceMetrics`.
    pub resources: u32,
    /// Number of strings that are not UTF-8, which [`repair`] replaces.
    pub bad_strings: u32,
}

/// Why bytes are not a `MetricsData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckError {
    /// Offset at which reading stopped.
    pub offset: usize,
    /// The reason.
    pub reason: Reason,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::Truncated => "a field exceeds its message",
            Reason::Varint => "a varint exceeds 64 bits",
            Reason::Key => "a field key is invalid",
            Reason::WireType => "a field has a wrong wire type",
            Reason::Group => "a group has no start or no end",
            Reason::TooDeep => "messages are nested more than 100 levels deep",
        };
        write!(f, "not OTLP metrics: at byte {}, {reason}", self.offset)
    }
}

impl std::error::Error for CheckError {}

/// Checks that `bytes` is a valid `MetricsData`.
pub fn check(bytes: &[u8]) -> Result<PushSummary, CheckError> {
    let mut bad_strings = 0;
    let mut walk = Walk::new(|_: &[u8]| bad_strings += 1);
    let end = walk.metrics_data(bytes, wire::DEPTH);
    let (points, temporality, resources) = (walk.points, walk.temporality(), walk.resources);
    match end {
        Ok(()) => Ok(PushSummary { points, temporality, resources, bad_strings }),
        Err(WireError { address, reason }) => Err(CheckError { offset: address - bytes.as_ptr().addr(), reason }),
    }
}

/// Replaces each byte of an ill-formed UTF-8 sequence in a string by `?`, so that offsets do not change, and returns the
/// number of repaired strings. Afterwards prost accepts every message that [`check`] accepts.
pub fn repair(bytes: &mut [u8]) -> u32 {
    // Walks over a copy while writing to the original: one allocation, in a rare case.
    let original = bytes.to_vec();
    let base = original.as_ptr().addr();
    let mut mended = 0;
    let mut walk = Walk::new(|text: &[u8]| {
        let start = text.as_ptr().addr() - base;
        if let Some(text) = bytes.get_mut(start..start + text.len()) {
            replace_ill_formed(text);
            mended += 1;
        }
    });
    // An error here is an error of `check`, too. The strings before the error are repaired nevertheless.
    let _ = walk.metrics_data(&original, wire::DEPTH);
    mended
}

fn replace_ill_formed(mut text: &mut [u8]) {
    while let Err(error) = std::str::from_utf8(text) {
        let Some((_, ill)) = text.split_at_mut_checked(error.valid_up_to()) else { return };
        let len = error.error_len().unwrap_or(ill.len());
        let Some((ill, rest)) = ill.split_at_mut_checked(len) else { return };
        ill.fill(b'?');
        text = rest;
    }
}
