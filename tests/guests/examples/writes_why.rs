//! Writes an exception to standard error and traps, as the runtimes of Python and JavaScript do, without a call of
//! `report.fault`.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct WritesWhy;

impl Receiver for WritesWhy {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn export_metrics(&mut self, _: &Batch<'_>) -> Result<(), ExportError> {
        #[allow(clippy::print_stderr, reason = "writing to standard error is the purpose of this guest")]
        {
            eprintln!(
                "Traceback (most recent call last):\n  File \"app.py\", line 3, in export_metrics\nKeyError: 'x'"
            );
        }
        std::process::abort()
    }
}

register!(WritesWhy);
