//! Waits for a clock without using CPU, then accepts the batch.
//!
//! Settings: `millis` (default: one hour).

use std::time::Duration;

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, clock, log, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    millis: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { millis: 3_600_000 }
    }
}

struct Sleeps(Duration);

impl Receiver for Sleeps {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self(Duration::from_millis(settings.millis)))
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        clock::sleep(self.0);
        log::info!("took {}", batch.len());
        Ok(())
    }
}

register!(Sleeps);
