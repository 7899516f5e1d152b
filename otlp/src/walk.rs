//! A check of OTLP bytes that allocates nothing.
//!
//! In: bytes that claim to be a `MetricsData`. Out: what they hold, or where and why they are none. Accepts exactly
//! what prost accepts, unknown fields included, but that ill-formed UTF-8 is counted instead of refused;
//! [`repair`] mends it in place. Bounded by the bytes and by a nesting of 100. Never builds a struct.
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

/// How the sums and histograms of a push relate to time, as its points say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PushTemporality {
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

/// What a checked message holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PushSummary {
    /// Data points of all kinds.
    pub points: u32,
    /// Of its sums and histograms.
    pub temporality: PushTemporality,
    /// `ResourceMetrics` blocks.
    pub resources: u32,
    /// Strings that are not UTF-8, which [`repair`] mends.
    pub bad_strings: u32,
}

/// Why bytes are not a `MetricsData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckError {
    /// Where in the bytes reading stopped.
    pub offset: usize,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::Truncated => "a field ends behind the message that it is in",
            Reason::Varint => "a varint of more than 64 bits",
            Reason::Key => "a field key that no message can have",
            Reason::WireType => "a wire type that the schema does not have for this field",
            Reason::Group => "a group without its beginning or end",
            Reason::TooDeep => "more than 100 messages within each other",
        };
        write!(f, "not OTLP metrics: at byte {} {reason}", self.offset)
    }
}

impl std::error::Error for CheckError {}

/// Checks that `bytes` is a `MetricsData`.
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

/// Replaces each byte of an ill-formed sequence in a string by `?`, so that every offset stays, and says how many
/// strings it mended. Afterwards prost accepts whatever [`check`] accepts.
pub fn repair(bytes: &mut [u8]) -> u32 {
    // A copy to walk over while the original is written to: one allocation, in a case that is rare.
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
    // An error here was an error of `check`: what was read until then is mended nevertheless.
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
