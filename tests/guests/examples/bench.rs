//! Reads a batch in one of several ways and discards it, to measure the cost of crossing the boundary.
//!
//! Settings: `mode`, one of `request` (the batch as one OTLP request), `labels` (the same with five labels), `bytes`
//! (the bytes of each push), `view` (the typed view of each push), `none` (only the number of pushes).

use std::hint::black_box;

use barnabas_sdk::{Batch, ExportError, Fact, Label, Receiver, StartError, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mode: ReadMode,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ReadMode {
    Request,
    Labels,
    Bytes,
    View,
    None,
}

struct BenchReceiver {
    mode: ReadMode,
    labels: Vec<Label>,
}

impl Receiver for BenchReceiver {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        let facts = [
            Fact::ClientInstanceId,
            Fact::ClientId,
            Fact::ClientSoftwareName,
            Fact::ClientSoftwareVersion,
            Fact::NodeId,
        ];
        Ok(Self { mode: settings.mode, labels: facts.map(Label::fact).into() })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        match self.mode {
            ReadMode::Request => drop(black_box(batch.otlp_request(&[])?)),
            ReadMode::Labels => drop(black_box(batch.otlp_request(&self.labels)?)),
            ReadMode::Bytes => batch.pushes().for_each(|push| drop(black_box(push.bytes()))),
            ReadMode::View => view(batch)?,
            ReadMode::None => drop(black_box(batch.len())),
        }
        Ok(())
    }
}

#[cfg(target_arch = "wasm32")]
fn view(batch: &Batch<'_>) -> Result<(), String> {
    batch.pushes().try_for_each(|push| push.view().map(|view| drop(black_box(view))))
}

#[cfg(not(target_arch = "wasm32"))]
fn view(_: &Batch<'_>) -> Result<(), String> {
    Err("the typed view exists only in a component".to_owned())
}

register!(BenchReceiver);
