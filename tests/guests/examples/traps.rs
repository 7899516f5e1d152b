//! Panics under the conditions in its settings, or always without settings: with `client_id`, only on a batch with a
//! push of that client; with `attempts`, only on a push whose attempt is at most this number; with `every`, only on
//! every n-th batch of the instance. It accepts every other batch and logs `took {pushes}`.

use barnabas_sdk::{Batch, ExportError, Push, Receiver, StartError, log, register};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    client_id: Option<String>,
    attempts: Option<u32>,
    every: Option<u32>,
}

struct Traps {
    settings: Settings,
    batches: u32,
}

impl Receiver for Traps {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        Ok(Self { settings, batches: 0 })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        self.batches += 1;
        let due = self.settings.every.is_none_or(|every| self.batches.is_multiple_of(every));
        let poison = batch.pushes().find(|push| self.poisons(push));
        if let (true, Some(push)) = (due, poison) {
            #[allow(clippy::panic, reason = "this guest is made to panic")]
            {
                panic!("poisoned by a push of {:?}, attempt {}", push.client_id(), push.attempt());
            }
        }
        log::info!("took {}", batch.len());
        Ok(())
    }
}

impl Traps {
    fn poisons(&self, push: &Push<'_>) -> bool {
        let client = self.settings.client_id.as_ref();
        client.is_none_or(|client| push.client_id().as_ref() == Some(client))
            && self.settings.attempts.is_none_or(|attempts| push.attempt() <= attempts)
    }
}

register!(Traps);
