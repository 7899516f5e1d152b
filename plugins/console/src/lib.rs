//! Logs one JSON line for each data point, with the client that sent it, and one line for each client that is gone.
//!
//! The settings are `prefixes` (log only metrics whose name starts with one of them; default: all metrics) and
//! `max_points` (the maximum number of lines for each push; one more line has the number of data points that were left
//! out; default: no limit). The receiver stores nothing and never fails.

#![forbid(unsafe_code)]

mod line;

use barnabas_sdk::otlp::Metric;
use barnabas_sdk::{Batch, ExportError, Push, Receiver, StartError, log, register};
use serde::Deserialize;

use line::{GoneLine, PointLine, Sender};

/// The settings of the operator.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The prefixes of the metric names to log. An empty list logs all metrics.
    prefixes: Vec<String>,
    /// The maximum number of lines for each push.
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
            return Err(StartError::setting(
                "max_points",
                "0 would log nothing; remove the setting to log every data point",
            ));
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
            log::info!("{left_out} more data points of this push are not shown: `max_points` is {max_points}");
        }
    }

    fn wants(&self, metric: &Metric) -> bool {
        let prefixes = &self.settings.prefixes;
        prefixes.is_empty() || prefixes.iter().any(|prefix| metric.name.starts_with(prefix))
    }
}

fn write_line(line: &impl serde::Serialize) {
    let text = serde_json::to_string(line).expect("maps with string keys and finite numbers are valid JSON");
    log::write(log::Level::Info, text);
}

register!(Console);

#[cfg(test)]
mod tests;
