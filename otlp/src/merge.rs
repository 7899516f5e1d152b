//! Many pushes as one `ExportMetricsServiceRequest`, labels added on the way.
//!
//! In: `MetricsData` messages that [`check`](crate::walk::check) accepted. Out: their concatenation, which is one
//! request, since `MetricsData` and the request have the same only field. Without labels a plain copy. With labels the
//! `ResourceMetrics` of one push whose resource and schema are the same bytes become one (Java sends one for each
//! point), so that labels are written once. Everything else is copied as it stands, unknown fields too. Bounded by
//! [`append_within`]'s limit and by `WINDOW`; never decodes, never panics, also on bytes that nobody checked.

mod group;
mod resource;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::wire::{WireField, WireFields};
use group::Groups;

/// `ResourceMetrics` blocks looked at together: equal ones further apart stay apart. It bounds what is remembered of a
/// push made of millions of tiny blocks.
const WINDOW: usize = 4096;

/// A resource attribute to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLabel<'a> {
    /// The attribute's key.
    pub attribute: &'a str,
    /// Its value.
    pub value: &'a str,
    /// Keep what the client sent under this key. Otherwise the label replaces it.
    pub when_absent: bool,
}

/// The labels of a hostile push would have taken more room than allowed; nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversize {
    /// The most bytes that `out` may have had.
    pub limit: usize,
}

impl fmt::Display for Oversize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the request with its labels exceeds {} bytes: ask for fewer labels or smaller batches", self.limit)
    }
}

impl std::error::Error for Oversize {}

/// Appends one push to a request. Where labels have the same attribute, one that replaces beats those before it, and
/// one for when the attribute is absent yields to those before it.
pub fn append(out: &mut Vec<u8>, metrics_data: &[u8], labels: &[ResourceLabel<'_>]) {
    append_within(out, metrics_data, labels, usize::MAX).expect("no vector is longer than usize::MAX");
}

/// As [`append`], refusing to let `out` grow beyond `limit` bytes: each distinct resource of a push gets all labels, so
/// a push of many tiny resources can grow by a large factor.
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
