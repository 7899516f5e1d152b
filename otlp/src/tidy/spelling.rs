//! Names as the rules want them. What no rule is for is lent on as it stands.

use std::borrow::Cow;

use super::NumberedLabel;
use crate::wire::{self, Field, Fields, put_delimited};

/// `Resource.attributes`, `KeyValue.key`, `Metric.name`, `AnyValue.string_value`.
const FIRST: u32 = 1 << 3 | 2;
/// `KeyValue.value`.
const VALUE: u32 = 2 << 3 | 2;
/// `AnyValue.int_value`.
const INT: u32 = 3 << 3;
/// `NumberDataPoint.as_double` and `as_int`.
const AS_DOUBLE: u32 = 4 << 3 | 1;
const AS_INT: u32 = 6 << 3 | 1;

/// Rewrites those fields that `change` has something to say of; all others stay where they are.
fn fields<'a>(bytes: Cow<'a, [u8]>, change: impl Fn(&Field<'_>, &mut Vec<u8>) -> bool) -> Cow<'a, [u8]> {
    let mut out = Vec::new();
    let mut changed = false;
    // Until something changes nothing is written: most blocks stay as they are.
    let mut same = 0;
    for field in Fields(&bytes) {
        let before = out.len();
        if change(&field, &mut out) {
            if !changed {
                let unchanged = bytes.get(..same).unwrap_or_default();
                out.splice(before..before, unchanged.iter().copied());
            }
            changed = true;
        } else if changed {
            out.extend_from_slice(field.raw);
        }
        same += field.raw.len();
    }
    if changed { Cow::Owned(out) } else { bytes }
}

/// The last occurrence counts; none is the empty text.
fn key(key_value: &[u8]) -> &[u8] {
    Fields(key_value).filter(|field| field.key == FIRST).last().map_or(&[], |field| field.body)
}

fn has(message: &[u8], attributes: u32, wanted: &str) -> bool {
    Fields(message).any(|field| field.key == attributes && key(field.body) == wanted.as_bytes())
}

/// The fields of a block, of which those numbered `resource` are its resource.
pub(super) fn resource<'a>(block: Cow<'a, [u8]>, resource: u32, keys: &[(&str, &str)]) -> Cow<'a, [u8]> {
    if keys.is_empty() {
        return block;
    }
    fields(block, |field, out| {
        if field.key != resource {
            return false;
        }
        let renamed = fields(Cow::Borrowed(field.body), |attribute, out| {
            attribute.key == FIRST && rename(field.body, attribute.body, keys, out)
        });
        let changed = matches!(renamed, Cow::Owned(_));
        if changed {
            put_delimited(out, resource >> 3, &renamed);
        }
        changed
    })
}

fn rename(resource: &[u8], attribute: &[u8], keys: &[(&str, &str)], out: &mut Vec<u8>) -> bool {
    let sent = key(attribute);
    let Some((_, to)) = keys.iter().find(|(from, _)| from.as_bytes() == sent) else { return false };
    if has(resource, FIRST, to) {
        return false;
    }
    let renamed = fields(Cow::Borrowed(attribute), |field, out| {
        let is_key = field.key == FIRST;
        if is_key {
            put_delimited(out, 1, to.as_bytes());
        }
        is_key
    });
    put_delimited(out, 1, &renamed);
    true
}

/// The fields of a metric without its data.
pub(super) fn metric<'a>(head: Cow<'a, [u8]>, prefixes: &[(&str, &str)]) -> Cow<'a, [u8]> {
    if prefixes.is_empty() {
        return head;
    }
    fields(head, |field, out| {
        let fits = prefixes.iter().find_map(|(from, to)| Some((to, field.body.strip_prefix(from.as_bytes())?)));
        match fits.filter(|_| field.key == FIRST) {
            Some((to, rest)) => put_delimited(out, 1, &[to.as_bytes(), rest].concat()),
            None => return false,
        }
        true
    })
}

/// A point whose labels are in field `attributes`.
pub(super) fn point<'a>(point: &'a [u8], attributes: u32, labels: &[NumberedLabel<'_>]) -> Cow<'a, [u8]> {
    fields(Cow::Borrowed(point), |field, out| {
        if field.key != attributes << 3 | 2 {
            return false;
        }
        let sent = key(field.body);
        let Some(label) = labels.iter().find(|label| label.from.as_bytes() == sent) else { return false };
        match integer(field.body).filter(|_| !has(point, attributes << 3 | 2, label.to)) {
            Some(number) => put_text(out, attributes, label.to, &format!("{}{number}", label.prefix)),
            None => return false,
        }
        true
    })
}

/// The value of an attribute that is a key and an integer and nothing else.
fn integer(key_value: &[u8]) -> Option<i64> {
    let mut fields = Fields(key_value);
    let (key, value) = (fields.next()?, fields.next()?);
    let plain = key.key == FIRST && value.key == VALUE && fields.next().is_none();
    let mut parts = Fields(value.body).filter(|_| plain);
    let number = parts.next().filter(|field| field.key == INT)?;
    let mut bytes = number.body;
    parts.next().is_none().then(|| wire::varint(&mut bytes).ok().map(|number| number as i64))?
}

/// `KeyValue { key, value: AnyValue { string_value } }` in a field of that number.
fn put_text(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    let (mut value, mut attribute) = (Vec::new(), Vec::new());
    put_delimited(&mut value, 1, text.as_bytes());
    put_delimited(&mut attribute, 1, key.as_bytes());
    put_delimited(&mut attribute, 2, &value);
    put_delimited(out, number, &attribute);
}

/// Whether a number point's value is no number. Of several values the last counts.
pub(super) fn is_nan(point: &[u8]) -> bool {
    let value = Fields(point).filter(|field| matches!(field.key, AS_DOUBLE | AS_INT)).last();
    let double = value.filter(|field| field.key == AS_DOUBLE).and_then(|field| field.body.first_chunk::<8>());
    double.is_some_and(|bytes| f64::from_le_bytes(*bytes).is_nan())
}
