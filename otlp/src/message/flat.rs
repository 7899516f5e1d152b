//! Iterates over all data points of a message with their context. Copies nothing.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::{
    AggregationTemporality, AnyValue, ExponentialHistogramDataPoint, HistogramDataPoint, InstrumentationScope,
    KeyValue, Metric, MetricsData, NumberDataPoint, SummaryDataPoint, any_value, metric, number_data_point,
};

/// A data point with its resource, scope and metric.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point<'a> {
    /// Attributes of the resource.
    pub resource: &'a [KeyValue],
    /// The instrumentation scope.
    pub scope: Option<&'a InstrumentationScope>,
    /// The metric: name, unit, [kind](Metric::kind), [temporality](Metric::temporality).
    pub metric: &'a Metric,
    /// Attributes of the data point itself.
    pub attributes: &'a [KeyValue],
    /// Start time in nanoseconds since the Unix epoch; 0 if unknown.
    pub start_time_unix_nano: u64,
    /// Time of the measurement in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The measured value.
    pub value: PointValue<'a>,
}

/// The value of a data point.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum PointValue<'a> {
    /// A number data point without a value.
    Empty,
    /// Of a gauge or a sum.
    Integer(i64),
    /// Of a gauge or a sum. Java clients send NaN for a gauge without a sample.
    Double(f64),
    /// Of a histogram.
    Histogram(&'a HistogramDataPoint),
    /// Of an exponential histogram.
    ExponentialHistogram(&'a ExponentialHistogramDataPoint),
    /// Of a summary.
    Summary(&'a SummaryDataPoint),
}

/// The kind of a metric. Displayed as `gauge`, `sum`, `histogram`, `exponential_histogram`, `summary`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricKind {
    /// Current values.
    Gauge,
    /// Values that add up.
    Sum,
    /// Distributions over explicit buckets.
    Histogram,
    /// Distributions over buckets that grow by a factor.
    ExponentialHistogram,
    /// Quantiles that a client computed.
    Summary,
}

impl MetricKind {
    /// The name, as displayed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }
}

impl fmt::Display for MetricKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl AggregationTemporality {
    /// `unspecified`, `delta` or `cumulative`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Delta => "delta",
            Self::Cumulative => "cumulative",
        }
    }
}

impl MetricsData {
    /// All data points, in order.
    pub fn points(&self) -> impl Iterator<Item = Point<'_>> {
        self.resource_metrics.iter().flat_map(|resource| {
            let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            resource.scope_metrics.iter().flat_map(move |scope| {
                let metrics = scope.metrics.iter().flat_map(Metric::points);
                metrics.map(move |point| Point { resource: attributes, scope: scope.scope.as_ref(), ..point })
            })
        })
    }
}

impl Metric {
    /// The kind; `None` for a metric without data.
    pub fn kind(&self) -> Option<MetricKind> {
        Some(match self.data.as_ref()? {
            metric::Data::Gauge(_) => MetricKind::Gauge,
            metric::Data::Sum(_) => MetricKind::Sum,
            metric::Data::Histogram(_) => MetricKind::Histogram,
            metric::Data::ExponentialHistogram(_) => MetricKind::ExponentialHistogram,
            metric::Data::Summary(_) => MetricKind::Summary,
        })
    }

    /// The temporality; `None` for kinds without one.
    pub fn temporality(&self) -> Option<AggregationTemporality> {
        let said = match self.data.as_ref()? {
            metric::Data::Sum(sum) => sum.aggregation_temporality,
            metric::Data::Histogram(histogram) => histogram.aggregation_temporality,
            metric::Data::ExponentialHistogram(histogram) => histogram.aggregation_temporality,
            metric::Data::Gauge(_) | metric::Data::Summary(_) => return None,
        };
        Some(AggregationTemporality::try_from(said).unwrap_or(AggregationTemporality::Unspecified))
    }

    /// The data points, without resource and scope.
    fn points(&self) -> impl Iterator<Item = Point<'_>> {
        let (numbers, histograms, exponential, summaries): (&[_], &[_], &[_], &[_]) = match &self.data {
            Some(metric::Data::Gauge(gauge)) => (&gauge.data_points, &[], &[], &[]),
            Some(metric::Data::Sum(sum)) => (&sum.data_points, &[], &[], &[]),
            Some(metric::Data::Histogram(histogram)) => (&[], &histogram.data_points, &[], &[]),
            Some(metric::Data::ExponentialHistogram(histogram)) => (&[], &[], &histogram.data_points, &[]),
            Some(metric::Data::Summary(summary)) => (&[], &[], &[], &summary.data_points),
            None => (&[], &[], &[], &[]),
        };
        let numbers = numbers.iter().map(|point: &NumberDataPoint| {
            let value = match point.value {
                Some(number_data_point::Value::AsInt(value)) => PointValue::Integer(value),
                Some(number_data_point::Value::AsDouble(value)) => PointValue::Double(value),
                None => PointValue::Empty,
            };
            self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, value)
        });
        let histograms = histograms.iter().map(|point: &HistogramDataPoint| {
            let value = PointValue::Histogram(point);
            self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, value)
        });
        let exponential = exponential.iter().map(|point: &ExponentialHistogramDataPoint| {
            let value = PointValue::ExponentialHistogram(point);
            self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, value)
        });
        let summaries = summaries.iter().map(|point: &SummaryDataPoint| {
            let value = PointValue::Summary(point);
            self.point(&point.attributes, point.start_time_unix_nano, point.time_unix_nano, value)
        });
        numbers.chain(histograms).chain(exponential).chain(summaries)
    }

    fn point<'a>(&'a self, attributes: &'a [KeyValue], start: u64, time: u64, value: PointValue<'a>) -> Point<'a> {
        let (start_time_unix_nano, time_unix_nano) = (start, time);
        Point { resource: &[], scope: None, metric: self, attributes, start_time_unix_nano, time_unix_nano, value }
    }
}

impl KeyValue {
    /// The value as text: strings unchanged, bytes in hexadecimal, arrays and maps as JSON, a missing value as empty text.
    pub fn text(&self) -> Cow<'_, str> {
        match self.value.as_ref().and_then(|value| value.value.as_ref()) {
            None => Cow::Borrowed(""),
            Some(any_value::Value::StringValue(text)) => Cow::Borrowed(text),
            Some(value) => {
                let mut text = String::new();
                write_value(&mut text, value);
                // A single value is text and not JSON, so bytes have no quotes.
                match value {
                    any_value::Value::BytesValue(_) => Cow::Owned(text.trim_matches('"').to_owned()),
                    _ => Cow::Owned(text),
                }
            }
        }
    }
}

/// Writes JSON. Recursion is bounded by the nesting limit of the decoder.
fn write_value(out: &mut String, value: &any_value::Value) {
    match value {
        any_value::Value::StringValue(text) => write_string(out, text),
        any_value::Value::BoolValue(value) => push(out, value),
        any_value::Value::IntValue(value) => push(out, value),
        any_value::Value::DoubleValue(value) => push(out, value),
        any_value::Value::BytesValue(bytes) => {
            write_string(out, &bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        any_value::Value::ArrayValue(array) => {
            list(out, '[', ']', &array.values, |out, value: &AnyValue| write_any(out, value));
        }
        any_value::Value::KvlistValue(map) => list(out, '{', '}', &map.values, |out, pair: &KeyValue| {
            write_string(out, &pair.key);
            out.push(':');
            match &pair.value {
                Some(value) => write_any(out, value),
                None => out.push_str("null"),
            }
        }),
        // An index into a string table, which exists only in profiles.
        any_value::Value::StringValueStrindex(_) => out.push_str("null"),
    }
}

fn write_any(out: &mut String, value: &AnyValue) {
    match &value.value {
        // JSON has no NaN and no infinity.
        Some(any_value::Value::DoubleValue(value)) if !value.is_finite() => write_string(out, &value.to_string()),
        Some(value) => write_value(out, value),
        None => out.push_str("null"),
    }
}

fn list<T>(out: &mut String, open: char, close: char, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(close);
}

fn push(out: &mut String, value: impl fmt::Display) {
    write!(out, "{value}").expect("writing into a string does not fail");
}

fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => push(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::{ArrayValue, Gauge, KeyValueList, Resource, ResourceMetrics, ScopeMetrics, Sum, Summary};
    use super::*;

    fn pair(key: &str, value: any_value::Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
    }

    fn text(key: &str, value: &str) -> KeyValue {
        pair(key, any_value::Value::StringValue(value.to_owned()))
    }

    fn metric(name: &str, data: Option<metric::Data>) -> Metric {
        Metric { name: name.to_owned(), data, ..Default::default() }
    }

    fn number(time: u64, value: Option<number_data_point::Value>) -> NumberDataPoint {
        let attributes = vec![text("node", &time.to_string())];
        NumberDataPoint { time_unix_nano: time, value, attributes, ..Default::default() }
    }

    #[test]
    fn every_point_has_its_resource_scope_and_metric() {
        let gauge =
            Gauge { data_points: vec![number(1, Some(number_data_point::Value::AsDouble(1.5))), number(2, None)] };
        let sum = Sum {
            data_points: vec![number(3, Some(number_data_point::Value::AsInt(7)))],
            aggregation_temporality: 1,
            is_monotonic: true,
        };
        let summary = Summary { data_points: vec![SummaryDataPoint { count: 4, ..Default::default() }] };
        let scope = |name: &str, metrics| ScopeMetrics {
            scope: Some(InstrumentationScope { name: name.to_owned(), ..Default::default() }),
            metrics,
            ..Default::default()
        };
        let resource = |name: &str, scope_metrics| ResourceMetrics {
            resource: Some(Resource { attributes: vec![text("group", name)], ..Default::default() }),
            scope_metrics,
            ..Default::default()
        };
        let data = MetricsData {
            resource_metrics: vec![
                resource(
                    "one",
                    vec![scope("a", vec![metric("g", Some(metric::Data::Gauge(gauge))), metric("none", None)])],
                ),
                resource("two", vec![scope("b", vec![metric("s", Some(metric::Data::Sum(sum)))])]),
                ResourceMetrics {
                    scope_metrics: vec![ScopeMetrics {
                        metrics: vec![metric("q", Some(metric::Data::Summary(summary)))],
                        ..Default::default()
                    }],
                    ..Default::default()
                },
            ],
        };
        let seen: Vec<_> = data
            .points()
            .map(|point| {
                let group = point.resource.first().map(|pair| pair.text().into_owned());
                let scope = point.scope.map(|scope| scope.name.as_str());
                (group, scope, point.metric.name.as_str(), point.attributes.len(), point.time_unix_nano, point.value)
            })
            .collect();
        let summary = match &data.resource_metrics[2].scope_metrics[0].metrics[0].data {
            Some(metric::Data::Summary(summary)) => PointValue::Summary(&summary.data_points[0]),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            seen,
            [
                (Some("one".into()), Some("a"), "g", 1, 1, PointValue::Double(1.5)),
                (Some("one".into()), Some("a"), "g", 1, 2, PointValue::Empty),
                (Some("two".into()), Some("b"), "s", 1, 3, PointValue::Integer(7)),
                (None, None, "q", 0, 0, summary),
            ]
        );
    }

    #[test]
    fn a_metric_has_a_kind_and_a_temporality() {
        let sum = |aggregation_temporality| {
            metric("s", Some(metric::Data::Sum(Sum { aggregation_temporality, ..Default::default() })))
        };
        assert_eq!(sum(2).temporality(), Some(AggregationTemporality::Cumulative));
        assert_eq!(sum(9).temporality(), Some(AggregationTemporality::Unspecified));
        assert_eq!(sum(1).kind().map(|kind| kind.to_string()).as_deref(), Some("sum"));
        let gauge = metric("g", Some(metric::Data::Gauge(Gauge::default())));
        assert_eq!((gauge.temporality(), gauge.kind()), (None, Some(MetricKind::Gauge)));
        assert_eq!(metric("none", None).kind(), None);
    }

    #[test]
    fn every_kind_of_attribute_is_converted_to_text() {
        let array = ArrayValue {
            values: vec![
                AnyValue { value: Some(any_value::Value::StringValue("a \"b\"\n".to_owned())) },
                AnyValue { value: Some(any_value::Value::DoubleValue(f64::NAN)) },
                AnyValue { value: Some(any_value::Value::BytesValue(vec![0xab])) },
                AnyValue { value: None },
            ],
        };
        let map = KeyValueList { values: vec![text("k", "v"), pair("n", any_value::Value::IntValue(1))] };
        for (value, wanted) in [
            (any_value::Value::StringValue("a \"b\"".to_owned()), "a \"b\""),
            (any_value::Value::BoolValue(true), "true"),
            (any_value::Value::IntValue(-7), "-7"),
            (any_value::Value::DoubleValue(0.5), "0.5"),
            (any_value::Value::DoubleValue(f64::NAN), "NaN"),
            (any_value::Value::BytesValue(vec![0, 0xff]), "00ff"),
            (any_value::Value::ArrayValue(array), r#"["a \"b\"\u000a","NaN","ab",null]"#),
            (any_value::Value::KvlistValue(map), r#"{"k":"v","n":1}"#),
        ] {
            assert_eq!(pair("x", value).text(), wanted);
        }
        assert_eq!(KeyValue::default().text(), "");
    }
}
