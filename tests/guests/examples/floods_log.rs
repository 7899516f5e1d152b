//! Logs far more lines than the host allows, then accepts the batch.
//!
//! Settings: `lines` for each batch and `bytes` for each line.

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, log, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    lines: u64,
    bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lines: 100_000, bytes: 1_000 }
    }
}

struct FloodsLog {
    lines: u64,
    filler: String,
}

impl Receiver for FloodsLog {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self { lines: settings.lines, filler: "x".repeat(settings.bytes) })
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        for line in 0..self.lines {
            log::write(log::Level::Info, format_args!("{line} {}", self.filler));
        }
        Ok(())
    }
}

register!(FloodsLog);
