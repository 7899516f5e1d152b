//! Accepts every batch and logs its size: `{name} took {pushes} pushes, {bytes} bytes, {gone} gone; {total} so far`.
//!
//! Settings: `name`, which distinguishes versions in the log.

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, log, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    name: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { name: "taker".to_owned() }
    }
}

struct Taker {
    name: String,
    total: u64,
}

impl Receiver for Taker {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        log::info!("{} started", settings.name);
        Ok(Self { name: settings.name, total: 0 })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        self.total += batch.len() as u64;
        let (pushes, bytes, gone) = (batch.len(), batch.size(), batch.gone().len());
        log::info!("{} took {pushes} pushes, {bytes} bytes, {gone} gone; {} so far", self.name, self.total);
        Ok(())
    }

    fn stop(self) {
        log::info!("{} stopped after {} pushes", self.name, self.total);
    }
}

register!(Taker);
