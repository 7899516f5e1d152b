//! The glue between the exports of the contract and the [`Receiver`] of an author: [`register!`](crate::register) and
//! the code that it expands to.

use std::cell::RefCell;

use crate::{Batch, ExportError, Receiver, StartError, report, settings};

/// Makes this type the receiver of the plugin. Use it once, at the top level of the crate.
///
/// In a component it exports the functions of the contract. Natively it only checks that the type is a [`Receiver`], so
/// that `cargo test` links.
#[macro_export]
macro_rules! register {
    ($receiver:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Guest;

            ::std::thread_local! {
                static RECEIVER: $crate::__private::ReceiverCell<$receiver> =
                    const { $crate::__private::ReceiverCell::empty() };
            }

            impl $crate::__private::Registered for Guest {
                type Receiver = $receiver;

                fn with<T>(run: impl FnOnce(&$crate::__private::ReceiverCell<$receiver>) -> T) -> T {
                    RECEIVER.with(run)
                }
            }

    $crate::__private::bindings::export!(Guest with_types_in $crate::__private::bindings);
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn receives<R: $crate::Receiver>() {}
            receives::<$receiver>();
        };
    };
}

/// Gives access to the receiver of a plugin. [`register!`](crate::register) implements it.
pub trait Registered: 'static {
    /// The author's type.
    type Receiver: Receiver;

    /// Calls `run` with the cell of the receiver.
    fn with<T>(run: impl FnOnce(&ReceiverCell<Self::Receiver>) -> T) -> T;
}

/// Owns the receiver between `start` and `stop`.
#[derive(Debug)]
pub struct ReceiverCell<R>(RefCell<Option<R>>);

impl<R: Receiver> ReceiverCell<R> {
    /// A cell before `start`.
    #[allow(clippy::new_without_default, reason = "only a macro creates it")]
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// Implements `start` of the contract.
    pub fn start(&self, json: &str) -> Result<(), StartError> {
        let receiver = R::start(settings::parse(json)?)?;
        *self.0.borrow_mut() = Some(receiver);
        Ok(())
    }

    /// Implements `export-metrics` of the contract.
    pub fn export_metrics(&self, batch: &Batch<'_>) -> Result<(), ExportError> {
        let outcome = match self.0.borrow_mut().as_mut() {
            Some(receiver) => receiver.export_metrics(batch),
            None => Err(ExportError::other("the host called export-metrics before start or after stop")),
        };
        if let Err(ExportError::Misconfigured(reason)) = &outcome {
            report::misconfigured(reason);
        }
        outcome
    }

    /// Implements `stop` of the contract.
    pub fn stop(&self) {
        // Taken out of the cell first, so that the cell is not borrowed while `stop` of the receiver runs.
        let receiver = self.0.borrow_mut().take();
        if let Some(receiver) = receiver {
            receiver.stop();
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod exports {
    use super::Registered;
    use crate::bindings::exports::kafka_telemetry::receiver::{export_metrics, lifecycle};
    use crate::{Batch, ExportError, Partial, Receiver};

    impl<G: Registered> lifecycle::Guest for G {
        fn start(settings: String) -> Result<(), String> {
            crate::report::on_panic();
            G::with(|receiver| receiver.start(&settings)).map_err(|error| error.to_string())
        }

        fn stop() {
            G::with(|receiver| receiver.stop());
        }
    }

    impl<G: Registered> export_metrics::Guest for G {
        fn accepted_content_types() -> Vec<String> {
            G::Receiver::accepted_content_types().iter().map(|&name| name.to_owned()).collect()
        }

        fn export_metrics(batch: &export_metrics::Batch) -> Result<(), export_metrics::ExportError> {
            G::with(|receiver| receiver.export_metrics(&Batch::new(batch))).map_err(Into::into)
        }
    }

    fn millis(wait: Option<std::time::Duration>) -> Option<u64> {
        wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }

    impl From<ExportError> for export_metrics::ExportError {
        fn from(error: ExportError) -> Self {
            match error {
                ExportError::Unavailable { retry_after, reason } => {
                    Self::Unavailable(export_metrics::Unavailability { retry_after_ms: millis(retry_after), reason })
                }
                // The contract has no case for it: `ReceiverCell::export_metrics` has already reported the reason.
                ExportError::Misconfigured(reason) => {
                    Self::Unavailable(export_metrics::Unavailability { retry_after_ms: None, reason })
                }
                ExportError::TooLarge => Self::TooLarge,
                ExportError::Partial(partial) => Self::Partial(partial.into()),
                ExportError::Rejected(reason) => Self::Rejected(reason),
                ExportError::Other(reason) => Self::Other(reason),
            }
        }
    }

    impl From<Partial> for export_metrics::PartialOutcome {
        fn from(partial: Partial) -> Self {
            let rejection = |(index, reason)| export_metrics::Rejection { index, reason };
            Self {
                rejected: partial.rejected.into_iter().map(rejection).collect(),
                retry: partial.retry,
                retry_after_ms: millis(partial.retry_after),
            }
        }
    }
}
