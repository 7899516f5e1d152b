//! Tries each case of [`requests`](barnabas_test_guests::requests) and logs `case {number}: {outcome}` for each. Then
//! it accepts the batch.
//!
//! Settings: `url`, the destination of the requests.

use barnabas_sdk::{Batch, ExportError, Receiver, StartError, log, register};
use barnabas_test_guests::requests::cases;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    url: String,
}

impl Receiver for Requests {
    type Settings = Self;

    fn start(settings: Self) -> Result<Self, StartError> {
        Ok(settings)
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        for (number, case) in cases(&self.url).into_iter().enumerate() {
            log::info!("case {number}: {}", case.outcome());
        }
        Ok(())
    }
}

register!(Requests);
