//! Messages for when telemetry begins or ceases to be offered.
//!
//! The API keys 71 and 72 are in the ApiVersions response while a receiver is configured (KIP-714). How a client
//! behaves that connected while none was configured depends on the client: see KAFKA-19747 for Java, docs/kip-714.md
//! for all.

/// Shown while no receiver is configured: at start, in `/readyz` and in `plugin list`.
pub const NOT_OFFERED: &str = "no receiver is configured, so Kafka clients are not offered telemetry, and those that \
check only once (Java since 4.2, franz-go, Dekaf) will not push until their applications are restarted; load a \
receiver with `barnabas plugin load NAME FILE.wasm`, or put a manifest into the plugins directory, before clients \
connect";

/// Logged when the first receiver is loaded.
pub(super) const OFFERED_NOW: &str = "this is the first receiver, so telemetry is offered to every client that \
connects from now on. Clients that connected earlier check again at their next connection: librdkafka then subscribes, \
and Java up to 4.1 subscribes within five minutes. Java since 4.2 (and the last releases of 4.0 and 4.1), franz-go and \
Dekaf have checked once and will not push until their applications are restarted";

/// Logged when the last receiver is removed.
pub(super) const NO_LONGER_OFFERED: &str = "this was the last receiver, so telemetry is not offered any more to \
clients that connect from now on. Clients that are connected keep pushing, and their pushes are discarded. After their \
next connection Java since 4.2 (and the last releases of 4.0 and 4.1), franz-go and Dekaf will not push until their \
applications are restarted; librdkafka and Java up to 4.1 resume once there is a receiver again. Load another one \
soon, or `pause` a plugin instead";
