//! OTLP's JSON form written from structs, for tests: in each of the ways that the mapping allows.

use barnabas_otlp::message::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The choices that the mapping allows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JsonStyle {
    /// Original field names instead of lowerCamelCase.
    snake: bool,
    /// Integers of 64 bits as numbers.
    numbers: bool,
}

pub(super) fn style() -> impl Strategy<Value = JsonStyle> {
    any::<(bool, bool)>().prop_map(|(snake, numbers)| JsonStyle { snake, numbers })
}

pub(super) fn request(data: &MetricsData, style: JsonStyle) -> Value {
    style.object([("resourceMetrics", style.list(&data.resource_metrics, JsonStyle::resource_metrics))])
}

fn double(number: f64) -> Value {
    if number.is_finite() { json!(number) } else { json!(number.to_string().replace("inf", "Infinity")) }
}

fn hexadecimal(bytes: &[u8]) -> Value {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

impl JsonStyle {
    fn object<const N: usize>(self, fields: [(&str, Value); N]) -> Value {
        let name = |name: &str| {
            let dash = |c: char| if c.is_ascii_uppercase() { format!("_{}", c.to_ascii_lowercase()) } else { c.into() };
            if self.snake { name.chars().map(dash).collect() } else { name.to_owned() }
        };
        let fields = fields.into_iter().filter(|(key, _)| !key.is_empty());
        Value::Object(fields.map(|(key, value)| (name(key), value)).collect::<Map<_, _>>())
    }

    fn list<T>(self, items: &[T], one: impl Fn(Self, &T) -> Value) -> Value {
        items.iter().map(|item| one(self, item)).collect()
    }

    fn optional<T>(self, item: Option<&T>, one: impl Fn(Self, &T) -> Value) -> Value {
        item.map_or(Value::Null, |item| one(self, item))
    }

    fn integer(self, number: impl Into<i128>) -> Value {
        let number = number.into();
        match (self.numbers, i64::try_from(number), u64::try_from(number)) {
            (true, Ok(number), _) => json!(number),
            (true, _, Ok(number)) => json!(number),
            _ => json!(number.to_string()),
        }
    }

    fn resource_metrics(self, block: &ResourceMetrics) -> Value {
        self.object([
            ("resource", self.optional(block.resource.as_ref(), Self::resource)),
            ("scopeMetrics", self.list(&block.scope_metrics, Self::scope_metrics)),
            ("schemaUrl", json!(block.schema_url)),
        ])
    }

    fn resource(self, resource: &Resource) -> Value {
        self.object([
            ("attributes", self.attributes(&resource.attributes)),
            ("droppedAttributesCount", json!(resource.dropped_attributes_count)),
            ("entityRefs", self.list(&resource.entity_refs, Self::entity)),
        ])
    }

    fn entity(self, entity: &EntityRef) -> Value {
        self.object([
            ("schemaUrl", json!(entity.schema_url)),
            ("type", json!(entity.r#type)),
            ("idKeys", json!(entity.id_keys)),
            ("descriptionKeys", json!(entity.description_keys)),
        ])
    }

    fn scope_metrics(self, scope: &ScopeMetrics) -> Value {
        self.object([
            ("scope", self.optional(scope.scope.as_ref(), Self::scope)),
            ("metrics", self.list(&scope.metrics, Self::metric)),
            ("schemaUrl", json!(scope.schema_url)),
        ])
    }

    fn scope(self, scope: &InstrumentationScope) -> Value {
        self.object([
            ("name", json!(scope.name)),
            ("version", json!(scope.version)),
            ("attributes", self.attributes(&scope.attributes)),
            ("droppedAttributesCount", json!(scope.dropped_attributes_count)),
        ])
    }

    fn metric(self, metric: &Metric) -> Value {
        let (kind, data) = match &metric.data {
            None => ("", Value::Null),
            Some(metric::Data::Gauge(gauge)) => {
                ("gauge", self.object([("dataPoints", self.list(&gauge.data_points, Self::number_point))]))
            }
            Some(metric::Data::Sum(sum)) => ("sum", self.sum(sum)),
            Some(metric::Data::Histogram(h)) => {
                let points = self.list(&h.data_points, Self::histogram_point);
                ("histogram", self.over_time(points, h.aggregation_temporality))
            }
            Some(metric::Data::ExponentialHistogram(h)) => {
                let points = self.list(&h.data_points, Self::exponential_point);
                ("exponentialHistogram", self.over_time(points, h.aggregation_temporality))
            }
            Some(metric::Data::Summary(s)) => {
                ("summary", self.object([("dataPoints", self.list(&s.data_points, Self::summary_point))]))
            }
        };
        self.object([
            ("name", json!(metric.name)),
            ("description", json!(metric.description)),
            (kind, data),
            ("unit", json!(metric.unit)),
            ("metadata", self.attributes(&metric.metadata)),
        ])
    }

    fn sum(self, sum: &Sum) -> Value {
        self.object([
            ("dataPoints", self.list(&sum.data_points, Self::number_point)),
            ("aggregationTemporality", json!(sum.aggregation_temporality)),
            ("isMonotonic", json!(sum.is_monotonic)),
        ])
    }

    fn over_time(self, points: Value, temporality: i32) -> Value {
        let name = AggregationTemporality::try_from(temporality).map(|known| match known {
            AggregationTemporality::Unspecified => "AGGREGATION_TEMPORALITY_UNSPECIFIED",
            AggregationTemporality::Delta => "AGGREGATION_TEMPORALITY_DELTA",
            AggregationTemporality::Cumulative => "AGGREGATION_TEMPORALITY_CUMULATIVE",
        });
        self.object([("dataPoints", points), ("aggregationTemporality", json!(name.unwrap()))])
    }

    fn number_point(self, point: &NumberDataPoint) -> Value {
        let (name, value) = match point.value {
            None => ("", Value::Null),
            Some(number_data_point::Value::AsDouble(value)) => ("asDouble", double(value)),
            Some(number_data_point::Value::AsInt(value)) => ("asInt", self.integer(value)),
        };
        self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.integer(point.start_time_unix_nano)),
            ("timeUnixNano", self.integer(point.time_unix_nano)),
            (name, value),
            ("exemplars", self.list(&point.exemplars, Self::exemplar)),
            ("flags", json!(point.flags)),
        ])
    }

    fn histogram_point(self, point: &HistogramDataPoint) -> Value {
        self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.integer(point.start_time_unix_nano)),
            ("timeUnixNano", self.integer(point.time_unix_nano)),
            ("count", self.integer(point.count)),
            ("sum", point.sum.map_or(Value::Null, double)),
            ("bucketCounts", self.list(&point.bucket_counts, |style, count| style.integer(*count))),
            ("explicitBounds", self.list(&point.explicit_bounds, |_, bound| double(*bound))),
            ("exemplars", self.list(&point.exemplars, Self::exemplar)),
            ("flags", json!(point.flags)),
            ("min", point.min.map_or(Value::Null, double)),
            ("max", point.max.map_or(Value::Null, double)),
        ])
    }

    fn exponential_point(self, point: &ExponentialHistogramDataPoint) -> Value {
        self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.integer(point.start_time_unix_nano)),
            ("timeUnixNano", self.integer(point.time_unix_nano)),
            ("count", self.integer(point.count)),
            ("sum", point.sum.map_or(Value::Null, double)),
            ("scale", json!(point.scale)),
            ("zeroCount", self.integer(point.zero_count)),
            ("positive", self.optional(point.positive.as_ref(), Self::buckets)),
            ("negative", self.optional(point.negative.as_ref(), Self::buckets)),
            ("flags", json!(point.flags)),
            ("exemplars", self.list(&point.exemplars, Self::exemplar)),
            ("min", point.min.map_or(Value::Null, double)),
            ("max", point.max.map_or(Value::Null, double)),
            ("zeroThreshold", double(point.zero_threshold)),
        ])
    }

    fn buckets(self, buckets: &exponential_histogram_data_point::Buckets) -> Value {
        self.object([
            ("offset", json!(buckets.offset)),
            ("bucketCounts", self.list(&buckets.bucket_counts, |style, count| style.integer(*count))),
        ])
    }

    fn summary_point(self, point: &SummaryDataPoint) -> Value {
        let quantile = |style: Self, value: &summary_data_point::ValueAtQuantile| {
            style.object([("quantile", double(value.quantile)), ("value", double(value.value))])
        };
        self.object([
            ("attributes", self.attributes(&point.attributes)),
            ("startTimeUnixNano", self.integer(point.start_time_unix_nano)),
            ("timeUnixNano", self.integer(point.time_unix_nano)),
            ("count", self.integer(point.count)),
            ("sum", double(point.sum)),
            ("quantileValues", self.list(&point.quantile_values, quantile)),
            ("flags", json!(point.flags)),
        ])
    }

    fn exemplar(self, exemplar: &Exemplar) -> Value {
        let (name, value) = match exemplar.value {
            None => ("", Value::Null),
            Some(exemplar::Value::AsDouble(value)) => ("asDouble", double(value)),
            Some(exemplar::Value::AsInt(value)) => ("asInt", self.integer(value)),
        };
        self.object([
            ("filteredAttributes", self.attributes(&exemplar.filtered_attributes)),
            ("timeUnixNano", self.integer(exemplar.time_unix_nano)),
            (name, value),
            ("spanId", hexadecimal(&exemplar.span_id)),
            ("traceId", hexadecimal(&exemplar.trace_id)),
        ])
    }

    fn attributes(self, attributes: &[KeyValue]) -> Value {
        self.list(attributes, Self::key_value)
    }

    fn key_value(self, attribute: &KeyValue) -> Value {
        self.object([
            ("key", json!(attribute.key)),
            ("value", self.optional(attribute.value.as_ref(), Self::any_value)),
            ("keyStrindex", json!(attribute.key_strindex)),
        ])
    }

    fn any_value(self, value: &AnyValue) -> Value {
        use any_value::Value as Any;
        let (name, value) = match &value.value {
            None => ("", Value::Null),
            Some(Any::StringValue(text)) => ("stringValue", json!(text)),
            Some(Any::BoolValue(truth)) => ("boolValue", json!(truth)),
            Some(Any::IntValue(number)) => ("intValue", self.integer(*number)),
            Some(Any::DoubleValue(number)) => ("doubleValue", double(*number)),
            Some(Any::BytesValue(bytes)) => ("bytesValue", json!(STANDARD.encode(bytes))),
            Some(Any::StringValueStrindex(number)) => ("stringValueStrindex", json!(number)),
            Some(Any::ArrayValue(array)) => {
                ("arrayValue", self.object([("values", self.list(&array.values, Self::any_value))]))
            }
            Some(Any::KvlistValue(map)) => ("kvlistValue", self.object([("values", self.attributes(&map.values))])),
        };
        self.object([(name, value)])
    }
}
