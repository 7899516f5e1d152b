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

use schema::{EXPORT, Field, Form, Message};
use writer::Writer;

/// Why a text is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotJson {
    /// More came out than may.
    TooLong,
    /// Where and why.
    Wrong(String),
}

/// Writes an `ExportMetricsServiceRequest` in JSON as protobuf of at most `limit` bytes.
pub(super) fn to_protobuf(json: &[u8], limit: usize) -> Result<Vec<u8>, NotJson> {
    let mut writer = Writer::new(limit);
    let mut text = serde_json::Deserializer::from_slice(json);
    let read = Body { writer: &mut writer, message: &EXPORT }.deserialize(&mut text).and_then(|present| {
        text.end()?;
        if present { Ok(()) } else { Err(de::Error::custom("null is no request; send an object")) }
    });
    match read {
        Ok(()) => Ok(writer.out),
        Err(_) if writer.full() => Err(NotJson::TooLong),
        Err(error) => Err(NotJson::Wrong(format!("not OTLP metrics in JSON: {}{error}", writer.place()))),
    }
}

/// A message's fields. Says whether there were any words: null stands for a message that is absent.
struct Body<'w> {
    writer: &'w mut Writer,
    message: &'static Message,
}

impl<'de> DeserializeSeed<'de> for Body<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut seen = Seen::default();
        while let Some(field) = map.next_key_seed(Key(self.message))? {
            let Some(field) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.writer.enter(field.name);
            if map.next_value_seed(Value { writer: self.writer, field })? {
                seen.note(field)?;
            }
            self.writer.leave();
        }
        Ok(true)
    }
}

/// Which fields a message had. Protobuf's own readers of JSON refuse what is said twice, too.
#[derive(Default)]
struct Seen {
    fields: u32,
    choice: bool,
}

impl Seen {
    fn note<E: de::Error>(&mut self, field: &Field) -> Result<(), E> {
        let bit = 1 << field.number;
        if self.fields & bit != 0 {
            return Err(E::custom("the field is there twice; send it once"));
        }
        if field.choice && self.choice {
            return Err(E::custom("another field is there of which only one may be; send one of them"));
        }
        self.fields |= bit;
        self.choice |= field.choice;
        Ok(())
    }
}

/// The name of a field; `None` is one that nobody knows.
struct Key(&'static Message);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }
}

/// The value of a field, key included. Says whether there was one.
struct Value<'w> {
    writer: &'w mut Writer,
    field: &'static Field,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { writer, field } = self;
        if field.many {
            return deserializer.deserialize_any(List { writer, field });
        }
        let start = writer.key(field);
        let present = One { writer, form: field.form }.deserialize(deserializer)?;
        if !present {
            writer.forget(start);
        }
        writer.check()?;
        Ok(present)
    }
}

/// One value without its key.
struct One<'w> {
    writer: &'w mut Writer,
    form: Form,
}

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let Self { writer, form } = self;
        let Form::Message(message) = form else { return scalar::read(writer, form, deserializer) };
        let start = writer.open();
        let present = Body { writer, message }.deserialize(deserializer)?;
        writer.close(start);
        Ok(present)
    }
}

/// The values of a repeated field: numbers packed, all else one by one.
struct List<'w> {
    writer: &'w mut Writer,
    field: &'static Field,
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { writer, field } = self;
        let packed = field.form.is_packed();
        let whole = packed.then(|| {
            writer.packed_key(field);
            writer.open()
        });
        for index in 0.. {
            writer.enter_item(index);
            let start = if packed { writer.out.len() } else { writer.key(field) };
            match list.next_element_seed(One { writer: &mut *writer, form: field.form })? {
                Some(true) => writer.check()?,
                Some(false) => return Err(de::Error::custom("null stands in a list; leave it out")),
                None => {
                    writer.forget(start);
                    break;
                }
            }
            writer.leave();
        }
        writer.leave();
        if let Some(start) = whole {
            writer.close(start);
        }
        Ok(true)
    }
}
