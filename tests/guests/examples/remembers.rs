//! Counts the pushes that it gets in its persistent state, with compare-and-set, and logs `counted {total}`, or
//! `refused: {kind}: {message}` if the state returns an error. It accepts the batch in both cases.
//!
//! Settings: `value_bytes` is the minimum size of the value of the counter. With `trap_once` the first instance ever
//! panics after it has counted, and stores that it did.

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, log, register, state};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    value_bytes: usize,
    trap_once: bool,
}

struct Remembers(Settings);

impl Receiver for Remembers {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self(settings))
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        if batch.is_empty() {
            // The batch carries only gone clients.
            return Ok(());
        }
        match self.count(batch.len() as u64) {
            Ok(total) => log::info!("counted {total}"),
            Err(error) => log::info!("refused: {}: {error}", error.kind()),
        }
        if self.0.trap_once && state::compare_and_set("trapped", "yes", None).is_ok() {
            #[allow(clippy::panic, reason = "this guest is made to panic")]
            {
                panic!("once");
            }
        }
        Ok(())
    }
}

impl Remembers {
    /// Adds `more` to the total, which is stored as text and padded with spaces.
    fn count(&self, more: u64) -> Result<u64, state::Error> {
        let width = self.0.value_bytes;
        let entry = state::update("pushes", |value| format!("{:<width$}", total(value) + more))?;
        Ok(total(Some(&entry.value)))
    }
}

fn total(value: Option<&[u8]>) -> u64 {
    let text = value.and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.trim_end().parse().ok()).unwrap_or(0)
}

register!(Remembers);
