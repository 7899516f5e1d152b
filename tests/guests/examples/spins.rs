//! Uses CPU without end.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct Spins;

impl Receiver for Spins {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        let mut round = 0u64;
        loop {
            round = std::hint::black_box(round.wrapping_add(1));
        }
    }
}

register!(Spins);
