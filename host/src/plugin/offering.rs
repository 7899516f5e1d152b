//! What is said when telemetry begins or ceases to be offered.
//!
//! Keys 71 and 72 stand in ApiVersions while a receiver is configured (KIP-714). What clients do that looked while none
//! was depends on the client: KAFKA-19747 for Java, docs/kip-714.md for all of them.

/// While no receiver is configured: at the start, in `/readyz` and in `plugin list`.
pub const NOT_OFFERED: &str = "no receiver is configured, so Kafka clients are not offered telemetry, and those that \
look only once (Java from 4.2 on, franz-go, Dekaf) stay silent until their applications are restarted; load a receiver \
with `barnabas plugin load NAME FILE.wasm`, or put a manifest into the plugins directory, before clients connect";

/// When the first receiver comes.
pub(super) const OFFERED_NOW: &str = "this is the first receiver, so telemetry is offered to every client that connects \
from now on. Clients that connected before look again at their next connection: librdkafka then asks, and Java up to 4.1 \
asks within five minutes. Java from 4.2 on (likewise the last releases of 4.0 and 4.1), franz-go and Dekaf have looked \
once and stay silent until their applications are restarted";

/// When the last receiver is gone.
pub(super) const NO_LONGER_OFFERED: &str = "this was the last receiver, so telemetry is not offered any more to clients that connect \
from now on. Clients that are connected push on, and nobody takes their pushes. At their next connection Java from 4.2 \
on (likewise the last releases of 4.0 and 4.1), franz-go and Dekaf fall silent until their applications are restarted; \
librdkafka and Java up to 4.1 go on once there is a receiver again. Load another one soon, or `pause` a plugin instead";
