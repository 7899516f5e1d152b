//! Between the contract's exports and an author's [`Receiver`]: what [`register!`](crate::register) puts into a plugin.

use std::cell::RefCell;

use crate::{Batch, ExportError, Receiver, StartError, report, settings};

/// Makes this type the receiver of the plugin. Say it once, at the top level of the crate.
///
/// In a component it exports the contract's functions. Natively it only checks that the type is a receiver, so that
/// `cargo test` links.
#[macro_export]
macro_rules! register {
    ($receiver:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Guest;

            ::std::thread_local! {
                static SLOT: $crate::__private::Slot<$receiver> = const { $crate::__private::Slot::empty() };
            }

            impl $crate::__private::Registered for Guest {
                type Receiver = $receiver;

                fn with<T>(run: impl FnOnce(&$crate::__private::Slot<$receiver>) -> T) -> T {
                    SLOT.with(run)
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

/// Implemented by [`register!`](crate::register): where the one instance of a plugin is kept.
pub trait Registered: 'static {
    /// The author's type.
    type Receiver: Receiver;

    /// Hands the slot out.
    fn with<T>(run: impl FnOnce(&Slot<Self::Receiver>) -> T) -> T;
}

/// Holds the receiver between `start` and `stop`.
#[derive(Debug)]
pub struct Slot<R>(RefCell<Option<R>>);

impl<R: Receiver> Slot<R> {
    /// A slot before `start`.
    #[allow(clippy::new_without_default, reason = "made in one place, by a macro")]
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// The contract's `start`.
    pub fn start(&self, json: &str) -> Result<(), StartError> {
        let receiver = R::start(settings::parse(json)?)?;
        *self.0.borrow_mut() = Some(receiver);
        Ok(())
    }

    /// The contract's `export-metrics`.
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

    /// The contract's `stop`.
    pub fn stop(&self) {
        // Taken out first: a receiver's `stop` runs without the slot being borrowed.
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
            G::with(|slot| slot.start(&settings)).map_err(|error| error.to_string())
        }

        fn stop() {
            G::with(|slot| slot.stop());
        }
    }

    impl<G: Registered> export_metrics::Guest for G {
        fn accepted_content_types() -> Vec<String> {
            G::Receiver::accepted_content_types().iter().map(|&name| name.to_owned()).collect()
        }

        fn export_metrics(batch: &export_metrics::Batch) -> Result<(), export_metrics::ExportError> {
            G::with(|slot| slot.export_metrics(&Batch::new(batch))).map_err(Into::into)
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
                // The report was made already: the contract's outcome has no case of its own for it.
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
