//! A payload with placeholders for the values that change from push to push.
//!
//! In: a recorded payload, and the selection of its metrics. Out: the same bytes with timestamps and sums filled in. Every
//! placeholder has eight bytes on the wire, so filling it in changes no length and costs one copy. Bounded by the recorded
//! payload.

use barnabas_otlp::message::{
    AggregationTemporality, Metric, MetricsData, NumberDataPoint, metric, number_data_point::Value,
};
use prost::Message as _;

/// The upper half of every placeholder value, by which it is found in the encoded bytes. No recorded payload contains it.
const MARK: u64 = 0x3b1e_5af7 << 32;

/// The value that replaces a placeholder.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Placeholder {
    Start,
    Time,
    /// A sum with its recorded value.
    Double(f64),
    Int(i64),
}

/// The values of one push.
#[derive(Clone, Copy, Debug)]
pub(super) struct FillValues {
    /// Start time of the sums and current time, in nanoseconds since the Unix epoch.
    pub(super) start: u64,
    pub(super) now: u64,
    /// Increase of each sum over its recorded value.
    pub(super) grown: u32,
}

/// Encoded bytes and the offsets of their placeholders. Empty if no metric is selected.
#[derive(Debug)]
pub(super) struct Template {
    bytes: Vec<u8>,
    placeholders: Vec<(usize, Placeholder)>,
}

impl Template {
    /// A template of the metrics that `keep` selects, with delta or cumulative sums.
    pub(super) fn new(mut data: MetricsData, delta: bool, keep: impl Fn(&str) -> bool) -> Self {
        let mut marks = Placeholders::default();
        for resource in &mut data.resource_metrics {
            for scope in &mut resource.scope_metrics {
                scope.metrics.retain(|metric| keep(&metric.name));
                scope.metrics.iter_mut().for_each(|metric| insert_placeholders(metric, delta, &mut marks));
            }
            resource.scope_metrics.retain(|scope| !scope.metrics.is_empty());
        }
        data.resource_metrics.retain(|resource| !resource.scope_metrics.is_empty());
        let bytes = data.encode_to_vec();
        let found = bytes.windows(8).enumerate().filter_map(|(at, window)| {
            let value = u64::from_le_bytes(window.try_into().ok()?);
            Some((at, marks.find(value)?))
        });
        let gaps = found.collect();
        Self { bytes, placeholders: gaps }
    }

    /// The payload with these values.
    pub(super) fn fill(&self, moment: &FillValues) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, gap) in &self.placeholders {
            let value = match gap {
                Placeholder::Start => moment.start,
                Placeholder::Time => moment.now,
                Placeholder::Double(sum) => (sum + f64::from(moment.grown)).to_bits(),
                Placeholder::Int(sum) => sum.saturating_add(moment.grown.into()).cast_unsigned(),
            };
            if let Some(place) = bytes.get_mut(*at..at + 8) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
        bytes
    }
}

/// Inserts placeholders into a metric.
fn insert_placeholders(metric: &mut Metric, delta: bool, marks: &mut Placeholders) {
    match &mut metric.data {
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.iter_mut().for_each(|point| marks.times(point)),
        Some(metric::Data::Sum(sum)) => {
            let temporality = if delta { AggregationTemporality::Delta } else { AggregationTemporality::Cumulative };
            sum.aggregation_temporality = temporality.into();
            for point in &mut sum.data_points {
                marks.times(point);
                point.value = point.value.map(|value| marks.value(value));
            }
        }
        // Kafka clients send only gauges and sums.
        _ => {}
    }
}

/// The placeholders so far; the index is part of the placeholder value.
#[derive(Default)]
struct Placeholders(Vec<Placeholder>);

impl Placeholders {
    fn add(&mut self, gap: Placeholder) -> u64 {
        let mark = MARK | self.0.len() as u64;
        self.0.push(gap);
        mark
    }

    fn times(&mut self, point: &mut NumberDataPoint) {
        // Java's gauges have no start time.
        if point.start_time_unix_nano != 0 {
            point.start_time_unix_nano = self.add(Placeholder::Start);
        }
        point.time_unix_nano = self.add(Placeholder::Time);
    }

    fn value(&mut self, value: Value) -> Value {
        match value {
            Value::AsDouble(sum) => Value::AsDouble(f64::from_bits(self.add(Placeholder::Double(sum)))),
            Value::AsInt(sum) => Value::AsInt(self.add(Placeholder::Int(sum)).cast_signed()),
        }
    }

    /// The placeholder with this value, if any.
    fn find(&self, value: u64) -> Option<Placeholder> {
        let marked = value & !0xffff_ffff == MARK;
        marked.then(|| self.0.get(value as u32 as usize).copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use barnabas_otlp::walk;

    use super::super::payload::Payloads;
    use super::*;

    fn recorded() -> Vec<MetricsData> {
        Payloads::recorded().unwrap().all().to_vec()
    }

    fn points(data: &MetricsData) -> Vec<(bool, NumberDataPoint)> {
        let scopes = data.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        let metrics = scopes.flat_map(|scope| &scope.metrics);
        metrics
            .flat_map(|metric| match metric.data.clone().unwrap() {
                metric::Data::Gauge(gauge) => gauge.data_points.into_iter().map(|point| (false, point)).collect(),
                metric::Data::Sum(sum) => sum.data_points.into_iter().map(|point| (true, point)).collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    const MOMENT: FillValues = FillValues { start: 1_000, now: 2_000, grown: 7 };

    #[test]
    fn times_are_current_and_sums_grow_and_nothing_else_changes() {
        for data in recorded() {
            let filled = Template::new(data.clone(), false, |_| true).fill(&MOMENT);
            assert!(walk::check(&filled).is_ok());
            let filled = MetricsData::decode(&filled[..]).unwrap();
            let (before, after) = (points(&data), points(&filled));
            assert!(before.len() > 5 && before.len() == after.len());
            for ((sum, before), (_, after)) in before.iter().zip(&after) {
                assert_eq!(after.time_unix_nano, 2_000);
                assert_eq!(after.start_time_unix_nano, if before.start_time_unix_nano == 0 { 0 } else { 1_000 });
                assert_eq!(after.attributes, before.attributes);
                let grown = if *sum { 7 } else { 0 };
                match (before.value.unwrap(), after.value.unwrap()) {
                    (Value::AsInt(before), Value::AsInt(after)) => assert_eq!(after, before + grown),
                    (Value::AsDouble(before), Value::AsDouble(after)) => {
                        assert!(after == before + grown as f64 || before.is_nan() && after.is_nan());
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn only_selected_metrics_are_included() {
        for data in recorded() {
            let template = Template::new(data.clone(), true, |name| name.contains(".connection.creation."));
            let filled = MetricsData::decode(&template.fill(&MOMENT)[..]).unwrap();
            let some = points(&filled).len();
            assert!(some >= 1 && some < points(&data).len());
            for metric in filled.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics) {
                assert!(metric.name.contains(".connection.creation."));
                let Some(metric::Data::Sum(sum)) = &metric.data else { continue };
                assert_eq!(sum.aggregation_temporality, 1);
            }
            assert!(Template::new(data, true, |_| false).fill(&MOMENT).is_empty());
        }
    }
}
