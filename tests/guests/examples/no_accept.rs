//! Accepts no content type that the host can deliver.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct NoAccept;

impl Receiver for NoAccept {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn accepted_content_types() -> &'static [&'static str] {
        &["X"]
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        Ok(())
    }
}

register!(NoAccept);
