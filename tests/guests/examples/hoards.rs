//! Allocates memory without end.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct Hoards;

impl Receiver for Hoards {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        let mut hoard = Vec::new();
        loop {
            // Written to, so that the pages are really allocated.
            hoard.push(vec![1u8; 1 << 20]);
            std::hint::black_box(&hoard);
        }
    }
}

register!(Hoards);
