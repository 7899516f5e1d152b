//! The messages of OTLP metrics v1 by the names of their JSON form, and the encoding of their fields on the wire.

/// One message.
#[derive(Debug)]
pub(super) struct MessageSchema(&'static [FieldSchema]);

/// One field.
#[derive(Debug)]
pub(super) struct FieldSchema {
    /// In lowerCamelCase.
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) field_type: FieldType,
    /// A repeated field.
    pub(super) repeated: bool,
    /// A member of a oneof.
    pub(super) oneof: bool,
}

/// The type of a value, in JSON and on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) enum FieldType {
    Message(&'static MessageSchema),
    Text,
    /// Base64, as in proto3.
    Bytes,
    /// Hexadecimal, as OTLP writes trace and span ids.
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

impl FieldType {
    pub(super) fn wire_type(self) -> u32 {
        match self {
            Self::Message(_) | Self::Text | Self::Bytes | Self::Id => 2,
            Self::Double | Self::Fixed64 | Self::Sfixed64 => 1,
            _ => 0,
        }
    }

    /// Repeated numbers are packed into one field.
    pub(super) fn is_packed(self) -> bool {
        self.wire_type() != 2
    }
}

impl MessageSchema {
    /// Finds a field by either of the names that proto3 accepts: `dataPoints`, `data_points`.
    pub(super) fn field(&self, name: &str) -> Option<&'static FieldSchema> {
        self.0.iter().find(|field| field.name == name || is_snake_case_of(field.name, name))
    }
}

/// Whether `name` is the schema's original spelling of `camel`.
fn is_snake_case_of(camel: &str, name: &str) -> bool {
    let spelt = camel.bytes().flat_map(|byte| {
        let dash = byte.is_ascii_uppercase().then_some(b'_');
        dash.into_iter().chain([byte.to_ascii_lowercase()])
    });
    spelt.eq(name.bytes())
}

const fn singular(name: &'static str, number: u32, field_type: FieldType) -> FieldSchema {
    FieldSchema { name, number, field_type, repeated: false, oneof: false }
}

const fn repeated(name: &'static str, number: u32, field_type: FieldType) -> FieldSchema {
    FieldSchema { name, number, field_type, repeated: true, oneof: false }
}

const fn oneof(name: &'static str, number: u32, field_type: FieldType) -> FieldSchema {
    FieldSchema { name, number, field_type, repeated: false, oneof: true }
}

use FieldType::{Bool, Bytes, Double, Fixed64, Id, Int32, Int64, Sfixed64, Sint32, Temporality, Text, Uint32, Uint64};

const fn message(message: &'static MessageSchema) -> FieldType {
    FieldType::Message(message)
}

/// `ExportMetricsServiceRequest`.
pub(super) static EXPORT: MessageSchema = MessageSchema(&[repeated("resourceMetrics", 1, message(&RESOURCE_METRICS))]);

static RESOURCE_METRICS: MessageSchema = MessageSchema(&[
    singular("resource", 1, message(&RESOURCE)),
    repeated("scopeMetrics", 2, message(&SCOPE_METRICS)),
    singular("schemaUrl", 3, Text),
]);

static RESOURCE: MessageSchema = MessageSchema(&[
    repeated("attributes", 1, message(&KEY_VALUE)),
    singular("droppedAttributesCount", 2, Uint32),
    repeated("entityRefs", 3, message(&ENTITY_REF)),
]);

static ENTITY_REF: MessageSchema = MessageSchema(&[
    singular("schemaUrl", 1, Text),
    singular("type", 2, Text),
    repeated("idKeys", 3, Text),
    repeated("descriptionKeys", 4, Text),
]);

static SCOPE_METRICS: MessageSchema = MessageSchema(&[
    singular("scope", 1, message(&SCOPE)),
    repeated("metrics", 2, message(&METRIC)),
    singular("schemaUrl", 3, Text),
]);

static SCOPE: MessageSchema = MessageSchema(&[
    singular("name", 1, Text),
    singular("version", 2, Text),
    repeated("attributes", 3, message(&KEY_VALUE)),
    singular("droppedAttributesCount", 4, Uint32),
]);

static METRIC: MessageSchema = MessageSchema(&[
    singular("name", 1, Text),
    singular("description", 2, Text),
    singular("unit", 3, Text),
    oneof("gauge", 5, message(&GAUGE)),
    oneof("sum", 7, message(&SUM)),
    oneof("histogram", 9, message(&HISTOGRAM)),
    oneof("exponentialHistogram", 10, message(&EXPONENTIAL_HISTOGRAM)),
    oneof("summary", 11, message(&SUMMARY)),
    repeated("metadata", 12, message(&KEY_VALUE)),
]);

static GAUGE: MessageSchema = MessageSchema(&[repeated("dataPoints", 1, message(&NUMBER_POINT))]);

static SUM: MessageSchema = MessageSchema(&[
    repeated("dataPoints", 1, message(&NUMBER_POINT)),
    singular("aggregationTemporality", 2, Temporality),
    singular("isMonotonic", 3, Bool),
]);

static HISTOGRAM: MessageSchema = MessageSchema(&[
    repeated("dataPoints", 1, message(&HISTOGRAM_POINT)),
    singular("aggregationTemporality", 2, Temporality),
]);

static EXPONENTIAL_HISTOGRAM: MessageSchema = MessageSchema(&[
    repeated("dataPoints", 1, message(&EXPONENTIAL_POINT)),
    singular("aggregationTemporality", 2, Temporality),
]);

static SUMMARY: MessageSchema = MessageSchema(&[repeated("dataPoints", 1, message(&SUMMARY_POINT))]);

static NUMBER_POINT: MessageSchema = MessageSchema(&[
    singular("startTimeUnixNano", 2, Fixed64),
    singular("timeUnixNano", 3, Fixed64),
    oneof("asDouble", 4, Double),
    repeated("exemplars", 5, message(&EXEMPLAR)),
    oneof("asInt", 6, Sfixed64),
    repeated("attributes", 7, message(&KEY_VALUE)),
    singular("flags", 8, Uint32),
]);

static HISTOGRAM_POINT: MessageSchema = MessageSchema(&[
    singular("startTimeUnixNano", 2, Fixed64),
    singular("timeUnixNano", 3, Fixed64),
    singular("count", 4, Fixed64),
    singular("sum", 5, Double),
    repeated("bucketCounts", 6, Fixed64),
    repeated("explicitBounds", 7, Double),
    repeated("exemplars", 8, message(&EXEMPLAR)),
    repeated("attributes", 9, message(&KEY_VALUE)),
    singular("flags", 10, Uint32),
    singular("min", 11, Double),
    singular("max", 12, Double),
]);

static EXPONENTIAL_POINT: MessageSchema = MessageSchema(&[
    repeated("attributes", 1, message(&KEY_VALUE)),
    singular("startTimeUnixNano", 2, Fixed64),
    singular("timeUnixNano", 3, Fixed64),
    singular("count", 4, Fixed64),
    singular("sum", 5, Double),
    singular("scale", 6, Sint32),
    singular("zeroCount", 7, Fixed64),
    singular("positive", 8, message(&BUCKETS)),
    singular("negative", 9, message(&BUCKETS)),
    singular("flags", 10, Uint32),
    repeated("exemplars", 11, message(&EXEMPLAR)),
    singular("min", 12, Double),
    singular("max", 13, Double),
    singular("zeroThreshold", 14, Double),
]);

static BUCKETS: MessageSchema = MessageSchema(&[singular("offset", 1, Sint32), repeated("bucketCounts", 2, Uint64)]);

static SUMMARY_POINT: MessageSchema = MessageSchema(&[
    singular("startTimeUnixNano", 2, Fixed64),
    singular("timeUnixNano", 3, Fixed64),
    singular("count", 4, Fixed64),
    singular("sum", 5, Double),
    repeated("quantileValues", 6, message(&QUANTILE)),
    repeated("attributes", 7, message(&KEY_VALUE)),
    singular("flags", 8, Uint32),
]);

static QUANTILE: MessageSchema = MessageSchema(&[singular("quantile", 1, Double), singular("value", 2, Double)]);

static EXEMPLAR: MessageSchema = MessageSchema(&[
    singular("timeUnixNano", 2, Fixed64),
    oneof("asDouble", 3, Double),
    singular("spanId", 4, Id),
    singular("traceId", 5, Id),
    oneof("asInt", 6, Sfixed64),
    repeated("filteredAttributes", 7, message(&KEY_VALUE)),
]);

static KEY_VALUE: MessageSchema = MessageSchema(&[
    singular("key", 1, Text),
    singular("value", 2, message(&ANY_VALUE)),
    singular("keyStrindex", 3, Int32),
]);

static ANY_VALUE: MessageSchema = MessageSchema(&[
    oneof("stringValue", 1, Text),
    oneof("boolValue", 2, Bool),
    oneof("intValue", 3, Int64),
    oneof("doubleValue", 4, Double),
    oneof("arrayValue", 5, message(&ARRAY)),
    oneof("kvlistValue", 6, message(&MAP)),
    oneof("bytesValue", 7, Bytes),
    oneof("stringValueStrindex", 8, Int32),
]);

static ARRAY: MessageSchema = MessageSchema(&[repeated("values", 1, message(&ANY_VALUE))]);

static MAP: MessageSchema = MessageSchema(&[repeated("values", 1, message(&KEY_VALUE))]);
