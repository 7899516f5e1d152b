//! What a receiver tells its operator beside log lines and outcomes.

use std::fmt;

use crate::contract::report as host;

/// The receiver cannot work as it is set up and only the operator can put it right: the sink refuses the credentials,
/// the path does not exist. Shown on the plugin until a batch is taken. It is no outcome: what becomes of the batch is
/// what `export_metrics` returns. [`ExportError::misconfigured`](crate::ExportError::misconfigured) is both in one.
pub fn misconfigured(reason: impl fmt::Display) {
    host::misconfigured(&reason.to_string());
}

/// The sink took a batch and discarded this many points of it (OTLP partial success). Counted for the plugin.
pub fn rejected_points(points: u64, reason: impl fmt::Display) {
    host::rejected_points(points, &reason.to_string());
}

/// Tells the host message and place of a panic, in one line; it sees a bare trap otherwise.
#[cfg(target_arch = "wasm32")]
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("a panic without words");
        match panic.location() {
            Some(place) => host::fault(&format!("{message} ({place})")),
            None => host::fault(message),
        }
    }));
}
