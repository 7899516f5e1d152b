//! Shows what arrives: one JSON line a point on the host's log, with who sent it, and one for each client that is gone.
//!
//! Settings: `prefixes` (only metrics whose name begins with one of them; default all) and `max_points` (at most so
//! many lines a push, then one line with how many were left out; default no limit). It keeps nothing and never fails.

#![forbid(unsafe_code)]

mod line;

use barnabas_sdk::otlp::Metric;
use barnabas_sdk::{Batch, ExportError, Push, Receiver, StartError, log, register};
use serde::Deserialize;

use line::{GoneLine, PointLine, Sender};

/// What the operator may set.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Beginnings of the names that are shown; none shows all.
    prefixes: Vec<String>,
    /// Lines a push, at most.
    max_points: Option<u64>,
}

/// The receiver.
#[derive(Debug)]
pub struct Console {
    settings: Settings,
}

impl Receiver for Console {
    type Settings = Settings;

    fn start(settings: Settings) -> Result<Self, StartError> {
        if settings.max_points == Some(0) {
            return Err(StartError::setting("max_points", "0 shows nothing; leave it out to show every point"));
        }
        Ok(Self { settings })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        if log::enabled(log::Level::Info) {
            batch.pushes().for_each(|push| self.show(&push));
            batch.gone().iter().for_each(|client| write_line(&GoneLine::from(client)));
        }
        Ok(())
    }
}

impl Console {
    fn show(&self, push: &Push<'_>) {
        let sender = Sender::from_push(push);
        let metrics = push.metrics();
        let max_points = self.settings.max_points.unwrap_or(u64::MAX);
        let mut points = 0;
        for point in metrics.points().filter(|point| self.wants(point.metric)) {
            if points < max_points {
                write_line(&PointLine::new(&sender, point));
            }
            points += 1;
        }
        if points > max_points {
            let left_out = points - max_points;
            log::info!("{left_out} further points of this push are not shown: `max_points` is {max_points}");
        }
    }

    fn wants(&self, metric: &Metric) -> bool {
        let prefixes = &self.settings.prefixes;
        prefixes.is_empty() || prefixes.iter().any(|prefix| metric.name.starts_with(prefix))
    }
}

fn write_line(line: &impl serde::Serialize) {
    let text = serde_json::to_string(line).expect("maps with text keys and finite numbers are always JSON");
    log::write(log::Level::Info, text);
}

register!(Console);

#[cfg(test)]
mod tests;
