//! Uses CPU without end in `start`.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct SpinsStart;

impl Receiver for SpinsStart {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        let mut round = 0u64;
        loop {
            round = std::hint::black_box(round.wrapping_add(1));
        }
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        Ok(())
    }
}

register!(SpinsStart);
