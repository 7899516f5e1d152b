//! The contract with receivers: the Rust bindings of `wit/`.
//!
//! All generated code is in [`wit`]. The modules after dispatch use it by these names.

/// The generated bindings of `wit/`.
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
            // These functions access the disk, so the guest waits for them on its fiber.
            "kafka-telemetry:receiver/state": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "kafka-telemetry:receiver/batches.batch": crate::capability::batch::LentBatch,
        },
    });
}

/// The name of the WIT package, without its version.
pub const PACKAGE: &str = "kafka-telemetry:receiver";
/// The version of the contract that this host implements. It accepts receivers of version `0.1.z` for any `z` up to its
/// own.
pub const VERSION: (u64, u64, u64) = (0, 1, 0);
/// The only content type that exists today.
pub const CONTENT_TYPE: &str = "OTLP";
