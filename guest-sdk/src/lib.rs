#![doc = include_str!("../TUTORIAL.md")]

mod batch;
mod error;
mod fact;
mod glue;
mod gone;
mod label;
mod push;
mod receiver;
mod start_error;

pub mod clock;
pub mod http;
pub mod log;
pub mod random;
pub mod report;
pub mod settings;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[cfg(target_arch = "wasm32")]
#[allow(
    missing_docs,
    unreachable_pub,
    unsafe_code,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes_without_reason,
    reason = "generated code: the canonical ABI uses raw pointers"
)]
#[doc(hidden)]
pub mod bindings;
#[cfg(not(target_arch = "wasm32"))]
mod double;

/// The imports of the contract: the host itself in a component, its test double natively.
#[cfg(target_arch = "wasm32")]
use bindings::kafka_telemetry::receiver as contract;
#[cfg(not(target_arch = "wasm32"))]
use double as contract;

pub use barnabas_otlp::message as otlp;
pub use batch::{Batch, Pushes};
pub use error::{ExportError, Partial};
pub use fact::{Fact, UnknownFact};
pub use gone::{GoneClient, GoneReason};
pub use label::Label;
pub use push::{Push, PushId, Temporality};
pub use receiver::{NoSettings, Receiver};
pub use start_error::StartError;

/// The items that [`register!`](crate::register) uses in its expansion. They are not part of the API.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_arch = "wasm32")]
    pub use crate::bindings;
    pub use crate::glue::{ReceiverCell, Registered};
}
