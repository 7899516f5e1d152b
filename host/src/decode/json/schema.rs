//! The messages of OTLP metrics v1 as their JSON form names them, and how their fields stand on the wire.

/// One message.
#[derive(Debug)]
pub(super) struct Message(&'static [Field]);

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    /// In lowerCamelCase.
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) form: Form,
    /// A list.
    pub(super) many: bool,
    /// One of those of which only one may be.
    pub(super) choice: bool,
}

/// What a value is, in words and on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Message(&'static Message),
    Text,
    /// Base64, as proto3 has it.
    Bytes,
    /// Hexadecimal, as OTLP has ids.
    Id,
    Bool,
    Double,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Fixed64,
    Sfixed64,
    /// `AggregationTemporality`.
    Temporality,
}

impl Form {
    pub(super) fn wire_type(self) -> u32 {
        match self {
            Self::Message(_) | Self::Text | Self::Bytes | Self::Id => 2,
            Self::Double | Self::Fixed64 | Self::Sfixed64 => 1,
            _ => 0,
        }
    }

    /// Numbers of a list stand in one field.
    pub(super) fn is_packed(self) -> bool {
        self.wire_type() != 2
    }
}

impl Message {
    /// By either of the names that proto3 accepts: `dataPoints`, `data_points`.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.0.iter().find(|field| field.name == name || is_original(field.name, name))
    }
}

/// Whether `name` is how the schema writes `camel`.
fn is_original(camel: &str, name: &str) -> bool {
    let spelt = camel.bytes().flat_map(|byte| {
        let dash = byte.is_ascii_uppercase().then_some(b'_');
        dash.into_iter().chain([byte.to_ascii_lowercase()])
    });
    spelt.eq(name.bytes())
}

const fn one(name: &'static str, number: u32, form: Form) -> Field {
    Field { name, number, form, many: false, choice: false }
}

const fn many(name: &'static str, number: u32, form: Form) -> Field {
    Field { name, number, form, many: true, choice: false }
}

const fn choice(name: &'static str, number: u32, form: Form) -> Field {
    Field { name, number, form, many: false, choice: true }
}

use Form::{Bool, Bytes, Double, Fixed64, Id, Int32, Int64, Sfixed64, Sint32, Temporality, Text, Uint32, Uint64};

const fn of(message: &'static Message) -> Form {
    Form::Message(message)
}

/// `ExportMetricsServiceRequest`.
pub(super) static EXPORT: Message = Message(&[many("resourceMetrics", 1, of(&RESOURCE_METRICS))]);

static RESOURCE_METRICS: Message = Message(&[
    one("resource", 1, of(&RESOURCE)),
    many("scopeMetrics", 2, of(&SCOPE_METRICS)),
    one("schemaUrl", 3, Text),
]);

static RESOURCE: Message = Message(&[
    many("attributes", 1, of(&KEY_VALUE)),
    one("droppedAttributesCount", 2, Uint32),
    many("entityRefs", 3, of(&ENTITY_REF)),
]);

static ENTITY_REF: Message = Message(&[
    one("schemaUrl", 1, Text),
    one("type", 2, Text),
    many("idKeys", 3, Text),
    many("descriptionKeys", 4, Text),
]);

static SCOPE_METRICS: Message =
    Message(&[one("scope", 1, of(&SCOPE)), many("metrics", 2, of(&METRIC)), one("schemaUrl", 3, Text)]);

static SCOPE: Message = Message(&[
    one("name", 1, Text),
    one("version", 2, Text),
    many("attributes", 3, of(&KEY_VALUE)),
    one("droppedAttributesCount", 4, Uint32),
]);

static METRIC: Message = Message(&[
    one("name", 1, Text),
    one("description", 2, Text),
    one("unit", 3, Text),
    choice("gauge", 5, of(&GAUGE)),
    choice("sum", 7, of(&SUM)),
    choice("histogram", 9, of(&HISTOGRAM)),
    choice("exponentialHistogram", 10, of(&EXPONENTIAL_HISTOGRAM)),
    choice("summary", 11, of(&SUMMARY)),
    many("metadata", 12, of(&KEY_VALUE)),
]);

static GAUGE: Message = Message(&[many("dataPoints", 1, of(&NUMBER_POINT))]);

static SUM: Message = Message(&[
    many("dataPoints", 1, of(&NUMBER_POINT)),
    one("aggregationTemporality", 2, Temporality),
    one("isMonotonic", 3, Bool),
]);

static HISTOGRAM: Message =
    Message(&[many("dataPoints", 1, of(&HISTOGRAM_POINT)), one("aggregationTemporality", 2, Temporality)]);

static EXPONENTIAL_HISTOGRAM: Message =
    Message(&[many("dataPoints", 1, of(&EXPONENTIAL_POINT)), one("aggregationTemporality", 2, Temporality)]);

static SUMMARY: Message = Message(&[many("dataPoints", 1, of(&SUMMARY_POINT))]);

static NUMBER_POINT: Message = Message(&[
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    choice("asDouble", 4, Double),
    many("exemplars", 5, of(&EXEMPLAR)),
    choice("asInt", 6, Sfixed64),
    many("attributes", 7, of(&KEY_VALUE)),
    one("flags", 8, Uint32),
]);

static HISTOGRAM_POINT: Message = Message(&[
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("bucketCounts", 6, Fixed64),
    many("explicitBounds", 7, Double),
    many("exemplars", 8, of(&EXEMPLAR)),
    many("attributes", 9, of(&KEY_VALUE)),
    one("flags", 10, Uint32),
    one("min", 11, Double),
    one("max", 12, Double),
]);

static EXPONENTIAL_POINT: Message = Message(&[
    many("attributes", 1, of(&KEY_VALUE)),
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    one("scale", 6, Sint32),
    one("zeroCount", 7, Fixed64),
    one("positive", 8, of(&BUCKETS)),
    one("negative", 9, of(&BUCKETS)),
    one("flags", 10, Uint32),
    many("exemplars", 11, of(&EXEMPLAR)),
    one("min", 12, Double),
    one("max", 13, Double),
    one("zeroThreshold", 14, Double),
]);

static BUCKETS: Message = Message(&[one("offset", 1, Sint32), many("bucketCounts", 2, Uint64)]);

static SUMMARY_POINT: Message = Message(&[
    one("startTimeUnixNano", 2, Fixed64),
    one("timeUnixNano", 3, Fixed64),
    one("count", 4, Fixed64),
    one("sum", 5, Double),
    many("quantileValues", 6, of(&QUANTILE)),
    many("attributes", 7, of(&KEY_VALUE)),
    one("flags", 8, Uint32),
]);

static QUANTILE: Message = Message(&[one("quantile", 1, Double), one("value", 2, Double)]);

static EXEMPLAR: Message = Message(&[
    one("timeUnixNano", 2, Fixed64),
    choice("asDouble", 3, Double),
    one("spanId", 4, Id),
    one("traceId", 5, Id),
    choice("asInt", 6, Sfixed64),
    many("filteredAttributes", 7, of(&KEY_VALUE)),
]);

static KEY_VALUE: Message =
    Message(&[one("key", 1, Text), one("value", 2, of(&ANY_VALUE)), one("keyStrindex", 3, Int32)]);

static ANY_VALUE: Message = Message(&[
    choice("stringValue", 1, Text),
    choice("boolValue", 2, Bool),
    choice("intValue", 3, Int64),
    choice("doubleValue", 4, Double),
    choice("arrayValue", 5, of(&ARRAY)),
    choice("kvlistValue", 6, of(&MAP)),
    choice("bytesValue", 7, Bytes),
    choice("stringValueStrindex", 8, Int32),
]);

static ARRAY: Message = Message(&[many("values", 1, of(&ANY_VALUE))]);

static MAP: Message = Message(&[many("values", 1, of(&KEY_VALUE))]);
