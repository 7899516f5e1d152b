//! OTLP's JSON form of metrics, written over as protobuf while it is read.
//!
//! In: a text, the most bytes that may come of it. Out: a `MetricsData` message, which the check still has to see; else
//! where in the text and in the message it went wrong. The mapping is proto3's, with OTLP's exceptions (OTLP 1.x, "JSON
//! Protobuf Encoding"): trace and span ids are hexadecimal, unknown fields are passed over. Bounded by that cap and by
//! JSON's 128 levels. Builds no structs, allocates nothing but what comes out.

mod scalar;
mod schema;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use schema::{EXPORT, FieldSchema, FieldType, MessageSchema};
use writer::ProtobufWriter;

/// Why a text is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// More came out than may.
    TooLarge,
    /// Where and why.
    Invalid(String),
}

/// Writes an `ExportMetricsServiceRequest` in JSON as protobuf of at most `limit` bytes.
pub(super) fn to_protobuf(json: &[u8], limit: usize) -> Result<Vec<u8>, JsonError> {
    let mut writer = ProtobufWriter::new(limit);
    let mut text = serde_json::Deserializer::from_slice(json);
    let read = MessageVisitor { writer: &mut writer, message: &EXPORT }.deserialize(&mut text).and_then(|present| {
        text.end()?;
        if present { Ok(()) } else { Err(de::Error::custom("null is no request; send an object")) }
    });
    match read {
        Ok(()) => Ok(writer.out),
        Err(_) if writer.is_full() => Err(JsonError::TooLarge),
        Err(error) => Err(JsonError::Invalid(format!("not OTLP metrics in JSON: {}{error}", writer.path_prefix()))),
    }
}

/// A message's fields. Says whether there were any words: null stands for a message that is absent.
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

/// Which fields a message had. Protobuf's own readers of JSON refuse what is said twice, too.
#[derive(Default)]
struct SeenFields {
    fields: u32,
    oneof: bool,
}

impl SeenFields {
    fn record<E: de::Error>(&mut self, field: &FieldSchema) -> Result<(), E> {
        let bit = 1 << field.number;
        if self.fields & bit != 0 {
            return Err(E::custom("the field is there twice; send it once"));
        }
        if field.oneof && self.oneof {
            return Err(E::custom("another field is there of which only one may be; send one of them"));
        }
        self.fields |= bit;
        self.oneof |= field.oneof;
        Ok(())
    }
}

/// The name of a field; `None` is one that nobody knows.
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

/// The value of a field, key included. Says whether there was one.
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

/// One value without its key.
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

/// The values of a repeated field: numbers packed, all else one by one.
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
                Some(false) => return Err(de::Error::custom("null stands in a list; leave it out")),
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
