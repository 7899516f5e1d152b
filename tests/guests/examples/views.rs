//! Logs a summary of the typed view, one JSON line for each metric: `{"metric": "…", "kind": "sum", "unit": "",
//! "points": 3, "attributes": 2, "exemplars": 0, "flags": 0, "resource": 1, "scope": "…"}`. `attributes`, `exemplars`
//! and `flags` are sums over the data points; `resource` is the number of attributes of the resource.

use barnabas_sdk::{Batch, ExportError, NoSettings, Receiver, StartError, register};

struct Views;

impl Receiver for Views {
    type Settings = NoSettings;

    fn start(_: NoSettings) -> Result<Self, StartError> {
        Ok(Self)
    }

    fn export_metrics(&mut self, batch: &Batch<'_>) -> Result<(), ExportError> {
        Ok(show(batch)?)
    }
}

#[cfg(not(target_arch = "wasm32"))]
fn show(_: &Batch<'_>) -> Result<(), String> {
    Err("the typed view exists only in a component".to_owned())
}

#[cfg(target_arch = "wasm32")]
use component::show;

#[cfg(target_arch = "wasm32")]
mod component {
    use barnabas_sdk::__private::bindings::kafka_telemetry::receiver::metrics_view::{Data, Metric};
    use barnabas_sdk::{Batch, log};
    use serde_json::json;

    pub(crate) fn show(batch: &Batch<'_>) -> Result<(), String> {
        for push in batch.pushes() {
            for resource in push.view()? {
                for scope in &resource.scopes {
                    for metric in &scope.metrics {
                        log::info!("{}", line(metric, resource.attributes.len(), &scope.scope_name));
                    }
                }
            }
        }
        Ok(())
    }

    /// Sums over the data points of a metric.
    struct PointCounts {
        points: usize,
        attributes: usize,
        exemplars: usize,
        flags: u32,
    }

    /// The data point types have no common trait, but these fields have the same names in all of them.
    macro_rules! counts {
        ($points:expr, $exemplars:expr) => {
            PointCounts {
                points: $points.len(),
                attributes: $points.iter().map(|point| point.attributes.len()).sum(),
                exemplars: $points.iter().map($exemplars).sum(),
                flags: $points.iter().map(|point| point.point_flags).sum(),
            }
        };
    }

    fn line(metric: &Metric, resource: usize, scope: &str) -> serde_json::Value {
        let (kind, counts) = match &metric.data {
            Data::Empty => ("empty", PointCounts { points: 0, attributes: 0, exemplars: 0, flags: 0 }),
            Data::Gauge(points) => ("gauge", counts!(points, |point| point.exemplars.len())),
            Data::Sum(sum) => ("sum", counts!(sum.points, |point| point.exemplars.len())),
            Data::Histogram(histogram) => ("histogram", counts!(histogram.points, |point| point.exemplars.len())),
            Data::ExponentialHistogram(histogram) => {
                ("exponential_histogram", counts!(histogram.points, |point| point.exemplars.len()))
            }
            Data::Summary(points) => ("summary", counts!(points, |_| 0)),
        };
        json!({
            "metric": metric.name,
            "kind": kind,
            "unit": metric.unit,
            "points": counts.points,
            "attributes": counts.attributes,
            "exemplars": counts.exemplars,
            "flags": counts.flags,
            "resource": resource,
            "scope": scope,
        })
    }
}

register!(Views);
