//! Strings, numbers and booleans: what proto3 accepts for each, and its encoding on the wire.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::de::{self, Deserializer, Unexpected, Visitor};

use super::schema::FieldType;
use super::writer::ProtobufWriter;

/// The values of `AggregationTemporality`, in their order.
const TEMPORALITIES: [&str; 3] =
    ["AGGREGATION_TEMPORALITY_UNSPECIFIED", "AGGREGATION_TEMPORALITY_DELTA", "AGGREGATION_TEMPORALITY_CUMULATIVE"];

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Writes one value. Returns whether it was present: null is absent.
pub(super) fn read<'de, D: Deserializer<'de>>(
    writer: &mut ProtobufWriter,
    field_type: FieldType,
    deserializer: D,
) -> Result<bool, D::Error> {
    deserializer.deserialize_any(Scalar { writer, field_type })
}

struct Scalar<'w> {
    writer: &'w mut ProtobufWriter,
    field_type: FieldType,
}

impl Visitor<'_> for Scalar<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.field_type {
            FieldType::Message(_) => "an object",
            FieldType::Text => "a string",
            FieldType::Bytes => "a string of base64",
            FieldType::Id => "a string of hexadecimal digits",
            FieldType::Bool => "true or false",
            FieldType::Double => "a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            FieldType::Int32 | FieldType::Sint32 => "an integer of 32 bits",
            FieldType::Uint32 => "an integer of 32 bits without a sign",
            FieldType::Int64 | FieldType::Sfixed64 => "an integer of 64 bits, as a number or a string",
            FieldType::Uint64 | FieldType::Fixed64 => "an integer of 64 bits without a sign, as a number or a string",
            FieldType::Temporality => "an integer or a name such as \"AGGREGATION_TEMPORALITY_DELTA\"",
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<bool, E> {
        match self.field_type {
            FieldType::Bool => self.writer.varint(truth.into()),
            _ => return Err(E::invalid_type(Unexpected::Bool(truth), &self)),
        }
        Ok(true)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<bool, E> {
        self.number(number.into(), number as f64, Unexpected::Unsigned(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<bool, E> {
        self.number(number.into(), number as f64, Unexpected::Signed(number))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<bool, E> {
        match (self.field_type, whole(number)) {
            (FieldType::Double, _) => self.double(number),
            (_, Some(integer)) => return self.number(integer, number, Unexpected::Float(number)),
            (_, None) => return Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
        Ok(true)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
        let invalid = |visitor: &Self| E::invalid_value(Unexpected::Str(text), visitor);
        match self.field_type {
            FieldType::Text => self.writer.delimited(text.as_bytes()),
            FieldType::Bytes => {
                let bytes = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text)).map_err(|_| invalid(&self))?;
                self.writer.delimited(&bytes);
            }
            FieldType::Id => {
                let bytes = hexadecimal(text).ok_or_else(|| invalid(&self))?;
                self.writer.delimited(&bytes);
            }
            FieldType::Double => {
                let number = double(text).ok_or_else(|| invalid(&self))?;
                self.double(number);
            }
            FieldType::Temporality => {
                let value = TEMPORALITIES.iter().position(|name| *name == text).ok_or_else(|| invalid(&self))?;
                self.writer.varint(value as u64);
            }
            FieldType::Bool | FieldType::Message(_) => return Err(E::invalid_type(Unexpected::Str(text), &self)),
            _ => {
                let integer = integer(text).ok_or_else(|| invalid(&self))?;
                return self.number(integer, 0.0, Unexpected::Str(text));
            }
        }
        Ok(true)
    }
}

impl Scalar<'_> {
    fn double(self, number: f64) {
        self.writer.out.extend_from_slice(&number.to_le_bytes());
    }

    /// Writes a number according to the field type; `float` is the same number.
    fn number<E: de::Error>(self, integer: i128, float: f64, unexpected: Unexpected<'_>) -> Result<bool, E> {
        // Negative integers of 32 bits take ten bytes on the wire, like those of 64.
        let signed = |n: i64| n as u64;
        let value = match self.field_type {
            FieldType::Double => {
                self.double(float);
                return Ok(true);
            }
            FieldType::Int32 | FieldType::Temporality => i32::try_from(integer).map(|n| signed(n.into())).ok(),
            FieldType::Sint32 => i32::try_from(integer).map(zigzag).ok(),
            FieldType::Uint32 => u32::try_from(integer).map(u64::from).ok(),
            FieldType::Int64 | FieldType::Sfixed64 => i64::try_from(integer).map(signed).ok(),
            FieldType::Uint64 | FieldType::Fixed64 => u64::try_from(integer).ok(),
            FieldType::Message(_) | FieldType::Text | FieldType::Bytes | FieldType::Id | FieldType::Bool => {
                return Err(E::invalid_type(unexpected, &self));
            }
        };
        match (value, self.field_type) {
            (None, _) => return Err(E::invalid_value(unexpected, &self)),
            (Some(value), FieldType::Fixed64 | FieldType::Sfixed64) => {
                self.writer.out.extend_from_slice(&value.to_le_bytes());
            }
            (Some(value), _) => self.writer.varint(value),
        }
        Ok(true)
    }
}

fn zigzag(number: i32) -> u64 {
    u64::from(((number << 1) ^ (number >> 31)) as u32)
}

/// A float that is an integer: proto3 accepts 1.0 and 1e3 as integers.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 2_f64.powi(64)).then_some(number as i128)
}

fn integer(text: &str) -> Option<i128> {
    text.parse().ok().or_else(|| whole(finite(text)?))
}

fn double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => finite(text),
    }
}

/// Rust would also parse `inf` and `nan`, in upper or lower case.
fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some((digit(*high)? << 4 | digit(*low)?) as u8);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}
