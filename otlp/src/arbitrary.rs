//! Proptest strategies for complete OTLP messages.

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::message::exponential_histogram_data_point::Buckets;
use super::message::summary_data_point::ValueAtQuantile;
use super::message::*;

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{0,40}", "\\PC{0,6}", Just("client_id".to_owned()), Just("a".to_owned())]
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    use any_value::Value;
    let leaf = prop_oneof![
        text().prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        any::<i64>().prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        vec(any::<u8>(), 0..9).prop_map(Value::BytesValue),
        any::<i32>().prop_map(Value::StringValueStrindex),
    ];
    let leaf = of(leaf).prop_map(|value| AnyValue { value });
    leaf.prop_recursive(4, 16, 3, |inner| {
        let array = vec(inner.clone(), 0..3).prop_map(|values| Value::ArrayValue(ArrayValue { values }));
        let map = vec((text(), of(inner)), 0..3).prop_map(|pairs| {
            let pair = |(key, value)| KeyValue { key, value, key_strindex: 0 };
            Value::KvlistValue(KeyValueList { values: pairs.into_iter().map(pair).collect() })
        });
        prop_oneof![array, map].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec((text(), of(any_value()), 0..2i32), 0..4).prop_map(|all| {
        all.into_iter().map(|(key, value, key_strindex)| KeyValue { key, value, key_strindex }).collect()
    })
}

fn exemplars() -> impl Strategy<Value = Vec<Exemplar>> {
    use exemplar::Value;
    let value = prop_oneof![any::<f64>().prop_map(Value::AsDouble), any::<i64>().prop_map(Value::AsInt)];
    let one = (attributes(), any::<u64>(), vec(any::<u8>(), 0..9), vec(any::<u8>(), 0..17), of(value));
    vec(one, 0..2).prop_map(|all| {
        let one = |(filtered_attributes, time_unix_nano, span_id, trace_id, value)| Exemplar {
            filtered_attributes,
            time_unix_nano,
            span_id,
            trace_id,
            value,
        };
        all.into_iter().map(one).collect()
    })
}

fn number_point() -> impl Strategy<Value = NumberDataPoint> {
    use number_data_point::Value;
    let value = prop_oneof![any::<f64>().prop_map(Value::AsDouble), any::<i64>().prop_map(Value::AsInt)];
    (attributes(), any::<u64>(), any::<u64>(), exemplars(), any::<u32>(), of(value)).prop_map(
        |(attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value)| NumberDataPoint {
            attributes,
            start_time_unix_nano,
            time_unix_nano,
            exemplars,
            flags,
            value,
        },
    )
}

fn histogram_point() -> impl Strategy<Value = HistogramDataPoint> {
    let of_double = || of(any::<f64>());
    let counts = (vec(any::<u64>(), 0..4), vec(any::<f64>(), 0..4));
    (attributes(), any::<[u64; 3]>(), (of_double(), of_double(), of_double()), counts, exemplars(), any::<u32>())
        .prop_map(|(attributes, [start, time, count], (sum, min, max), (counts, bounds), exemplars, flags)| {
            HistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count,
                sum,
                bucket_counts: counts,
                explicit_bounds: bounds,
                exemplars,
                flags,
                min,
                max,
            }
        })
}

fn exponential_point() -> impl Strategy<Value = ExponentialHistogramDataPoint> {
    let buckets = || {
        of((any::<i32>(), vec(any::<u64>(), 0..5))
            .prop_map(|(offset, bucket_counts)| Buckets { offset, bucket_counts }))
    };
    let doubles = (of(any::<f64>()), of(any::<f64>()), of(any::<f64>()), any::<f64>());
    let rest = (any::<i32>(), buckets(), buckets(), any::<u32>(), exemplars());
    (attributes(), any::<[u64; 4]>(), doubles, rest).prop_map(
        |(attributes, [start, time, count, zero_count], (sum, min, max, zero_threshold), rest)| {
            let (scale, positive, negative, flags, exemplars) = rest;
            ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano: start,
                time_unix_nano: time,
                count,
                sum,
                scale,
                zero_count,
                positive,
                negative,
                flags,
                exemplars,
                min,
                max,
                zero_threshold,
            }
        },
    )
}

fn summary_point() -> impl Strategy<Value = SummaryDataPoint> {
    let quantiles = vec((any::<f64>(), any::<f64>()), 0..3)
        .prop_map(|all| all.into_iter().map(|(quantile, value)| ValueAtQuantile { quantile, value }).collect());
    (attributes(), any::<[u64; 3]>(), any::<f64>(), quantiles, any::<u32>()).prop_map(
        |(attributes, [start, time, count], sum, quantile_values, flags)| SummaryDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            count,
            sum,
            quantile_values,
            flags,
        },
    )
}

fn data() -> impl Strategy<Value = metric::Data> {
    use metric::Data;
    prop_oneof![
        vec(number_point(), 0..3).prop_map(|data_points| Data::Gauge(Gauge { data_points })),
        (vec(number_point(), 0..3), 0..3i32, any::<bool>()).prop_map(
            |(data_points, aggregation_temporality, is_monotonic)| {
                Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
            }
        ),
        (vec(histogram_point(), 0..3), 0..3i32).prop_map(|(data_points, aggregation_temporality)| {
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }),
        (vec(exponential_point(), 0..3), 0..3i32).prop_map(|(data_points, aggregation_temporality)| {
            Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality })
        }),
        vec(summary_point(), 0..3).prop_map(|data_points| Data::Summary(Summary { data_points })),
    ]
}

fn scope_metrics() -> impl Strategy<Value = ScopeMetrics> {
    let metric = (text(), text(), text(), attributes(), of(data()))
        .prop_map(|(name, description, unit, metadata, data)| Metric { name, description, unit, metadata, data });
    let scope = (text(), text(), attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    (of(scope), vec(metric, 0..3), text()).prop_map(|(scope, metrics, schema_url)| ScopeMetrics {
        scope,
        metrics,
        schema_url,
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    let entity = (text(), text(), vec(text(), 0..2), vec(text(), 0..2)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef { schema_url, r#type, id_keys, description_keys },
    );
    prop_oneof![
        Just(Resource::default()),
        (attributes(), any::<u32>(), vec(entity, 0..2)).prop_map(
            |(attributes, dropped_attributes_count, entity_refs)| Resource {
                attributes,
                dropped_attributes_count,
                entity_refs
            }
        )
    ]
}

/// A push with all kinds of metrics. Some of its resources are equal.
pub(crate) fn metrics_data() -> impl Strategy<Value = MetricsData> {
    let block = (0..4usize, vec(scope_metrics(), 0..3), prop_oneof![Just(String::new()), Just("url".to_owned())]);
    (vec(resource(), 3), vec(block, 0..6)).prop_map(|(resources, blocks)| {
        let block = |(which, scope_metrics, schema_url)| ResourceMetrics {
            resource: resources.get::<usize>(which).cloned(),
            scope_metrics,
            schema_url,
        };
        MetricsData { resource_metrics: blocks.into_iter().map(block).collect() }
    })
}

/// Damage that leaves most of a message readable.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Set(usize, u8),
    Flip(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize),
    Truncate(usize),
}

pub(crate) fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<usize>(), vec(any::<u8>(), 1..4)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        any::<usize>().prop_map(Damage::Remove),
        any::<usize>().prop_map(Damage::Truncate),
    ];
    vec(one, 0..4)
}

impl Damage {
    pub(crate) fn inflict(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len().max(1);
        match self {
            Self::Set(at, byte) => bytes.iter_mut().skip(at % len).take(1).for_each(|b| *b = *byte),
            Self::Flip(at, bit) => bytes.iter_mut().skip(at % len).take(1).for_each(|b| *b ^= 1 << bit),
            Self::Insert(at, new) => drop(bytes.splice(at % len..at % len, new.iter().copied()).collect::<Vec<_>>()),
            Self::Remove(at) if !bytes.is_empty() => drop(bytes.remove(at % len)),
            Self::Remove(_) => {}
            Self::Truncate(at) => bytes.truncate(at % len),
        }
    }
}
