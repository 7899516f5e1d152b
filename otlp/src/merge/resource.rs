//! Adds labels to a resource.

use super::ResourceLabel;
use crate::wire::{WireField, WireFields, put_delimited, put_varint, varint_len};

const ATTRIBUTES: u32 = 1 << 3 | 2;
const KEY: u32 = 1 << 3 | 2;

/// The labels without those that are overridden by others with the same attribute.
pub(super) fn effective<'a>(labels: &[ResourceLabel<'a>]) -> Vec<ResourceLabel<'a>> {
    let overruled = |at: usize, label: &ResourceLabel<'_>| {
        let same = |other: &&ResourceLabel<'_>| other.attribute == label.attribute;
        let before = labels.iter().take(at).find(same).is_some();
        let replaced = labels.iter().skip(at + 1).filter(same).any(|later| !later.when_absent);
        replaced || (label.when_absent && before)
    };
    labels.iter().enumerate().filter(|(at, label)| !overruled(*at, label)).map(|(_, label)| *label).collect()
}

/// Appends the body of a `Resource`: the fields of `resource` without the attributes that labels replace, and the labels
/// without those that yield to an attribute.
pub(super) fn put(out: &mut Vec<u8>, resource: &[u8], labels: &[ResourceLabel<'_>]) {
    for WireField { key, raw, body } in WireFields(resource) {
        let replaced = key == ATTRIBUTES && {
            let name = attribute_key(body);
            labels.iter().any(|label| !label.when_absent && label.attribute.as_bytes() == name)
        };
        if !replaced {
            out.extend_from_slice(raw);
        }
    }
    for label in labels.iter().filter(|label| !(label.when_absent && has(resource, label.attribute))) {
        put_label(out, label);
    }
}

fn has(resource: &[u8], attribute: &str) -> bool {
    WireFields(resource).any(|field| field.key == ATTRIBUTES && attribute_key(field.body) == attribute.as_bytes())
}

/// The key of an attribute. The last occurrence counts; a missing key is empty.
fn attribute_key(key_value: &[u8]) -> &[u8] {
    WireFields(key_value).filter(|field| field.key == KEY).last().map_or(&[], |field| field.body)
}

/// `KeyValue { key, value: AnyValue { string_value } }`.
fn put_label(out: &mut Vec<u8>, label: &ResourceLabel<'_>) {
    let field_len = |len: usize| 1 + varint_len(len as u64) + len;
    let value_len = field_len(label.value.len());
    put_varint(out, u64::from(ATTRIBUTES));
    put_varint(out, (field_len(label.attribute.len()) + field_len(value_len)) as u64);
    put_delimited(out, 1, label.attribute.as_bytes());
    put_varint(out, 2 << 3 | 2);
    put_varint(out, value_len as u64);
    put_delimited(out, 1, label.value.as_bytes());
}
