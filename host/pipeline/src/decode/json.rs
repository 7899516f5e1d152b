//! OTLP's JSON form of metrics, converted to protobuf while it is parsed.
//!
//! In: a text, and the most output bytes. Out: a `MetricsData` message, which is yet to be checked; otherwise where in
//! the text and in the message the error is. The mapping is proto3's, with OTLP's exceptions (OTLP 1.x, "JSON Protobuf
//! Encoding"): trace and span ids are hexadecimal, unknown fields are ignored. Bounded: by that limit, and by the 128
//! levels of the JSON parser. Never: builds structs or allocates anything but the output.

mod scalar;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use schema::{EXPORT, FieldSchema, FieldType, MessageSchema};
use writer::ProtobufWriter;

/// Why a text could not be converted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// The output exceeded its limit.
    TooLarge,
    /// The text is invalid: where and why.
    Invalid(String),
}

/// Converts an `ExportMetricsServiceRequest` in JSON to protobuf of at most `limit` bytes.
pub(super) fn to_protobuf(json: &[u8], limit: usize) -> Result<Vec<u8>, JsonError> {
    let mut writer = ProtobufWriter::new(limit);
    let mut text = serde_json::Deserializer::from_slice(json);
    let read = MessageVisitor { writer: &mut writer, message: &EXPORT }.deserialize(&mut text).and_then(|present| {
        text.end()?;
        if present { Ok(()) } else { Err(de::Error::custom("null is not a request; send an object")) }
    });
    match read {
        Ok(()) => Ok(writer.out),
        Err(_) if writer.is_full() => Err(JsonError::TooLarge),
        Err(error) => Err(JsonError::Invalid(format!("not OTLP metrics in JSON: {}{error}", writer.path_prefix()))),
    }
}

/// Reads the fields of a message. Returns whether it was present: null stands for an absent message.
struct MessageVisitor<'w> {
    writer: &'w mut ProtobufWriter,
    message: &'static MessageSchema,
}

impl<'de> DeserializeSeed<'de> for MessageVisitor<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageVisitor<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut seen = SeenFields::default();
        while let Some(field) = map.next_key_seed(FieldNameSeed(self.message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.writer.enter_field(field.name);
            if map.next_value_seed(FieldValueSeed { writer: self.writer, field })? {
                seen.record(field)?;
            }
            self.writer.leave();
        }
        Ok(true)
    }
}

/// The fields that a message had. Protobuf's own JSON parsers also refuse duplicates.
#[derive(Default)]
struct SeenFields {
    fields: u32,
    oneof: bool,
}

impl SeenFields {
    fn record<E: de::Error>(&mut self, field: &FieldSchema) -> Result<(), E> {
        let bit = 1 << field.number;
        if self.fields & bit != 0 {
            return Err(E::custom("duplicate field; send it once"));
        }
        if field.oneof && self.oneof {
            return Err(E::custom("another field of the same oneof is set; send only one of them"));
        }
        self.fields |= bit;
        self.oneof |= field.oneof;
        Ok(())
    }
}

/// The name of a field; `None` if it is unknown.
struct FieldNameSeed(&'static MessageSchema);

impl<'de> DeserializeSeed<'de> for FieldNameSeed {
    type Value = Option<&'static FieldSchema>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldNameSeed {
    type Value = Option<&'static FieldSchema>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// Writes the value of a field with its key. Returns whether it was present.
struct FieldValueSeed<'w> {
    writer: &'w mut ProtobufWriter,
    field: &'static FieldSchema,
}

impl<'de> DeserializeSeed<'de> for FieldValueSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { writer, field } = self;
        if field.repeated {
            return deserializer.deserialize_any(ListVisitor { writer, field });
        }
        let start = writer.key(field);
        let present = ValueSeed { writer, field_type: field.field_type }.deserialize(deserializer)?;
        if !present {
            writer.truncate(start);
        }
        writer.check()?;
        Ok(present)
    }
}

/// Writes one value without its key.
struct ValueSeed<'w> {
    writer: &'w mut ProtobufWriter,
    field_type: FieldType,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { writer, field_type } = self;
        let FieldType::Message(message) = field_type else { return scalar::read(writer, field_type, deserializer) };
        let start = writer.open_length();
        let present = MessageVisitor { writer, message }.deserialize(deserializer)?;
        writer.close_length(start);
        Ok(present)
    }
}

/// Writes the values of a repeated field: numbers packed, others one by one.
struct ListVisitor<'w> {
    writer: &'w mut ProtobufWriter,
    field: &'static FieldSchema,
}

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { writer, field } = self;
        let packed = field.field_type.is_packed();
        let whole = packed.then(|| {
            writer.packed_key(field);
            writer.open_length()
        });
        for index in 0.. {
            writer.enter_item(index);
            let start = if packed { writer.out.len() } else { writer.key(field) };
            match list.next_element_seed(ValueSeed { writer: &mut *writer, field_type: field.field_type })? {
                Some(true) => writer.check()?,
                Some(false) => return Err(de::Error::custom("a list contains null; omit it")),
                None => {
                    writer.truncate(start);
                    break;
                }
            }
            writer.leave();
        }
        writer.leave();
        if let Some(start) = whole {
            writer.close_length(start);
        }
        Ok(true)
    }
}
