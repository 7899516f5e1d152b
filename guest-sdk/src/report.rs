//! What a receiver reports to its operator besides log lines and outcomes.

use std::fmt;

use crate::contract::report as host;

/// Reports that the receiver cannot work as configured, so that only the operator can fix it: the sink rejects the
/// credentials, or the path does not exist. The host shows the reason in the status of the plugin until the receiver
/// accepts a batch.
///
/// The report does not decide about the batch; the result of `export_metrics` does.
/// [`ExportError::misconfigured`](crate::ExportError::misconfigured) does both.
pub fn misconfigured(reason: impl fmt::Display) {
    host::misconfigured(&reason.to_string());
}

/// Reports that the sink accepted a batch but rejected this many of its data points (OTLP partial success). The host
/// counts them for the plugin.
pub fn rejected_points(points: u64, reason: impl fmt::Display) {
    host::rejected_points(points, &reason.to_string());
}

/// Installs a panic hook that reports the message and the location of a panic to the host. Without it the host sees
/// only a trap.
#[cfg(target_arch = "wasm32")]
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without a message");
        match panic.location() {
            Some(place) => host::fault(&format!("{message} ({place})")),
            None => host::fault(message),
        }
    }));
}
