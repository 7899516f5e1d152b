//! Fails `percent` of its batches, evenly distributed, with the outcome `other`. It accepts the others.
//!
//! Settings: `percent` (default 0), `trap` (default false; if true, it traps instead of returning `other`).

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    percent: u32,
    trap: bool,
}

#[allow(clippy::derivable_impls, reason = "the defaults are documented")]
impl Default for Settings {
    fn default() -> Self {
        Self { percent: 0, trap: false }
    }
}

struct Falters {
    settings: Settings,
    /// Grows by `percent` with each batch. The batch at which it reaches 100 fails.
    owed: u32,
}

impl Receiver for Falters {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self { settings, owed: 0 })
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        self.owed += self.settings.percent;
        if self.owed < 100 {
            return Ok(());
        }
        self.owed -= 100;
        assert!(!self.settings.trap, "the setting `trap` is true");
        Err(ExportError::other("it falters"))
    }
}

register!(Falters);
