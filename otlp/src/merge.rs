//! Merges pushes into one `ExportMetricsServiceRequest`, and adds labels.
//!
//! In: `MetricsData` messages that [`check`](crate::walk::check) accepted. Out: their concatenation, which is one request,
//! since both messages have the same single field. Without labels, the bytes are copied. With labels, the
//! `ResourceMetrics` of a push with byte-identical resource and schema URL are merged (Java sends one per data point), so
//! that labels are written only once. Everything else is copied unchanged, including unknown fields. Bounded by the limit
//! of [`append_within`] and by `WINDOW`. Never decodes, and never panics, even on bytes that were not checked.

mod group;
mod resource;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::wire::{WireField, WireFields};
use group::Groups;

/// Number of `ResourceMetrics` that are grouped together. Equal ones further apart are not merged. Bounds the memory for a
/// push with millions of tiny `ResourceMetrics`.
const WINDOW: usize = 4096;

/// A resource attribute to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLabel<'a> {
    /// The attribute's key.
    pub attribute: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Whether an attribute of the client with this key has precedence. Otherwise the label replaces it.
    pub when_absent: bool,
}

/// The request would have exceeded the limit. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversize {
    /// The maximum length of `out`.
    pub limit: usize,
}

impl fmt::Display for Oversize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request with its labels exceeds {} bytes; use fewer labels or smaller batches", self.limit)
    }
}

impl std::error::Error for Oversize {}

/// Appends one push to a request. Of several labels with the same attribute, a replacing label overrides the earlier
/// ones, and a label with `when_absent` yields to them.
pub fn append(out: &mut Vec<u8>, metrics_data: &[u8], labels: &[ResourceLabel<'_>]) {
    append_within(out, metrics_data, labels, usize::MAX).expect("no vector is longer than usize::MAX");
}

/// Like [`append`], but fails if `out` would exceed `limit` bytes. Each distinct resource of a push gets all labels, so a
/// push with many tiny resources can grow by a large factor.
pub fn append_within(
    out: &mut Vec<u8>,
    metrics_data: &[u8],
    labels: &[ResourceLabel<'_>],
    limit: usize,
) -> Result<(), Oversize> {
    let before = out.len();
    let end = if labels.is_empty() {
        copy(out, metrics_data, limit)
    } else {
        label(out, metrics_data, &resource::effective(labels), limit)
    };
    end.inspect_err(|_| out.truncate(before))
}

fn copy(out: &mut Vec<u8>, bytes: &[u8], limit: usize) -> Result<(), Oversize> {
    if bytes.len() > limit.saturating_sub(out.len()) {
        return Err(Oversize { limit });
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn label(out: &mut Vec<u8>, metrics_data: &[u8], labels: &[ResourceLabel<'_>], limit: usize) -> Result<(), Oversize> {
    out.reserve(metrics_data.len().min(limit.saturating_sub(out.len())));
    let mut groups = Groups::default();
    let mut in_window = 0;
    for WireField { key, raw, body } in WireFields(metrics_data) {
        if key != RESOURCE_METRICS {
            copy(out, raw, limit)?;
            continue;
        }
        groups.add(body);
        in_window += 1;
        if in_window == WINDOW {
            std::mem::take(&mut groups).write(out, labels, limit)?;
            in_window = 0;
        }
    }
    groups.write(out, labels, limit)
}

const RESOURCE_METRICS: u32 = 1 << 3 | 2;
