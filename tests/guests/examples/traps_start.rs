//! Panics in `start`.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct TrapsStart;

impl Receiver for TrapsStart {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        #[allow(clippy::panic, reason = "this guest is made to panic")]
        {
            panic!("this guest panics before it has started");
        }
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        Ok(())
    }
}

register!(TrapsStart);
