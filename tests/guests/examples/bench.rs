//! Asks for a batch in one of four ways, and does nothing with it: what crossing the boundary costs.
//!
//! Settings: `mode`, one of `request` (all as one OTLP request), `labels` (the same with five labels), `bytes` (push by
//! push), `view` (typed view of each push), `none` (only how many).

use std::hint::black_box;

use barnabas_sdk::{Batch, ExportError, Fact, Label, Receiver, StartError, register};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    mode: Mode,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Request,
    Labels,
    Bytes,
    View,
    None,
}

struct Bench {
    mode: Mode,
    labels: Vec<Label>,
}

impl Receiver for Bench {
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
            Mode::Request => drop(black_box(batch.otlp_request(&[])?)),
            Mode::Labels => drop(black_box(batch.otlp_request(&self.labels)?)),
            Mode::Bytes => batch.pushes().for_each(|push| drop(black_box(push.bytes()))),
            Mode::View => view(batch)?,
            Mode::None => drop(black_box(batch.len())),
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

register!(Bench);
