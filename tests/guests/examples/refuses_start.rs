//! Returns an error from `start`, with the message of a typical receiver.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct RefusesStart;

impl Receiver for RefusesStart {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Err(StartError::new("the setting `endpoint` is missing; set the URL of your sink"))
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        Ok(())
    }
}

register!(RefusesStart);
