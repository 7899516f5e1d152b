//! Shows what arrives: one JSON line a point on the host's log, with who sent it, and one for each client that is gone.
//!
//! Settings: `prefixes` (only metrics whose name begins with one of them; default all) and `max_points` (at most so
//! many lines a push, then one line with how many were left out; default no limit). It keeps nothing and never fails.

#![forbid(unsafe_code)]

mod line;

use barnabas_sdk::otlp::{Metric, metric};
use barnabas_sdk::{Batch, ExportError, Push, Receiver, log, register};
use serde::Deserialize;

use line::{Gone, Line, Points, Sender};

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

    fn start(settings: Settings) -> Result<Self, String> {
        if settings.max_points == Some(0) {
            return Err("`max_points` is 0, which shows nothing; leave it out to show every point".to_owned());
        }
        Ok(Self { settings })
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        if log::enabled(log::Level::Info) {
            batch.pushes().try_for_each(|push| self.show(&push))?;
            batch.gone().iter().for_each(|client| write(&Gone::from(client)));
        }
        Ok(())
    }
}

impl Console {
    fn show(&self, push: &Push<'_>) -> Result<(), ExportError> {
        let sender = Sender::of(push);
        let metrics = push.metrics()?;
        let mut shown = 0;
        let mut left_out = 0;
        for resource in &metrics.resource_metrics {
            let wanted =
                resource.scope_metrics.iter().flat_map(|scope| &scope.metrics).filter(|metric| self.wants(metric));
            for (metric, point) in wanted.flat_map(|metric| Points::of(metric).map(move |point| (metric, point))) {
                if shown < self.settings.max_points.unwrap_or(u64::MAX) {
                    shown += 1;
                    write(&Line::new(&sender, resource, metric, point));
                } else {
                    left_out += 1;
                }
            }
        }
        if left_out > 0 {
            log::info!("{left_out} further points of this push are not shown: `max_points` is {shown}");
        }
        Ok(())
    }

    fn wants(&self, metric: &Metric) -> bool {
        let prefixes = &self.settings.prefixes;
        prefixes.is_empty() || prefixes.iter().any(|prefix| metric.name.starts_with(prefix))
    }
}

fn write(line: &impl serde::Serialize) {
    let text = serde_json::to_string(line).expect("maps with text keys and finite numbers are always JSON");
    log::write(log::Level::Info, text);
}

/// What OTLP calls the kind of a metric.
fn kind(metric: &Metric) -> &'static str {
    match metric.data {
        Some(metric::Data::Gauge(_)) => "gauge",
        Some(metric::Data::Sum(_)) => "sum",
        Some(metric::Data::Histogram(_)) => "histogram",
        Some(metric::Data::ExponentialHistogram(_)) => "exponential_histogram",
        Some(metric::Data::Summary(_)) => "summary",
        None => "empty",
    }
}

register!(Console);

#[cfg(test)]
mod tests;
