//! The smallest useful receiver: how many points each client pushes, on the log.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, log, register};

struct Tally;

impl Receiver for Tally {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        batch.pushes().for_each(|push| log::info!("{} points of {:?}", push.points(), push.client_id()));
        Ok(())
    }
}

register!(Tally);
