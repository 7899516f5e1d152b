//! The contract with receivers, made Rust: the one place where `wit/` becomes types.
//!
//! Everything generated stays in [`wit`]; the rooms right of dispatch use it by these names.

/// Bindings of `wit/`, generated.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "generated code"
)]
pub mod wit {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "receiver",
        imports: {
            // Answered from the disk, so a guest waits for it on its fiber.
            "kafka-telemetry:receiver/state": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "kafka-telemetry:receiver/batches.batch": crate::capability::batch::LentBatch,
        },
    });
}

/// Name of the WIT package, without version.
pub const PACKAGE: &str = "kafka-telemetry:receiver";
/// The contract version this host speaks: it accepts `0.1.z` for any z up to its own.
pub const VERSION: (u64, u64, u64) = (0, 1, 0);
/// The one content type there is.
pub const CONTENT_TYPE: &str = "OTLP";
