//! Forwards nothing, and fails a share of its batches: `percent` of them, spread evenly, with `other`.
//!
//! Settings: `percent` (0), `trap` (false: answer; true: trap instead).

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    percent: u32,
    trap: bool,
}

#[allow(clippy::derivable_impls, reason = "the defaults are part of what is documented")]
impl Default for Settings {
    fn default() -> Self {
        Self { percent: 0, trap: false }
    }
}

struct Falters {
    settings: Settings,
    /// Grows by the percentage with each batch; one that passes a hundred fails.
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
        assert!(!self.settings.trap, "it was told to");
        Err(ExportError::other("it falters"))
    }
}

register!(Falters);
