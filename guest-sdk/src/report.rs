//! What a receiver tells its operator beside log lines and outcomes.

use crate::contract::report as host;

/// The receiver cannot work as it is set up and only a person can mend it: the sink refuses the credentials, the path
/// does not exist. Shown on the slot until a batch is taken. Return an outcome all the same.
pub fn misconfigured(reason: &str) {
    host::misconfigured(reason);
}

/// The sink took a batch and discarded this many points of it (OTLP partial success). Counted for the slot.
pub fn rejected_points(points: u64, reason: &str) {
    host::rejected_points(points, reason);
}

/// Tells the host message and place of a panic, which it otherwise sees as a bare trap.
#[cfg(target_arch = "wasm32")]
pub(crate) fn on_panic() {
    std::panic::set_hook(Box::new(|panic| host::fault(&panic.to_string())));
}
