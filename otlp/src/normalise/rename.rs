//! Applies the rules for names. Everything else is borrowed unchanged.
//!
//! Each message is read a fixed number of times, however many of its attributes match a rule: the lookup for existing new
//! keys happens once per message. The number of renamed attributes is limited.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use super::{MAX_PARTS, MetricDescription, NormaliseError, NormaliseRules};
use crate::wire::{self, WireField, WireFields, put_delimited};

/// `Resource.attributes`, `KeyValue.key`, `Metric.name`, `AnyValue.string_value`.
const FIRST: u32 = 1 << 3 | 2;
/// `Metric.description` and `Metric.unit`.
const DESCRIPTION: u32 = 2;
const UNIT: u32 = 3;
/// `KeyValue.value`.
const VALUE: u32 = 2 << 3 | 2;
/// `AnyValue.int_value`.
const INT: u32 = 3 << 3;
/// `NumberDataPoint.as_double` and `as_int`.
const AS_DOUBLE: u32 = 4 << 3 | 1;
const AS_INT: u32 = 6 << 3 | 1;

/// Rewrites the fields for which `change` returns true; all others are copied in place.
fn fields<'a>(bytes: Cow<'a, [u8]>, change: impl Fn(&WireField<'_>, &mut Vec<u8>) -> bool) -> Cow<'a, [u8]> {
    let mut out = Vec::new();
    let mut changed = false;
    // Nothing is copied before the first change: most messages do not change.
    let mut same = 0;
    for field in WireFields(&bytes) {
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

/// The key of an attribute. The last occurrence counts; a missing key is empty.
fn key(key_value: &[u8]) -> &[u8] {
    WireFields(key_value).filter(|field| field.key == FIRST).last().map_or(&[], |field| field.body)
}

/// Which of the rules' new keys the attributes of a message already have. Computed lazily, and for all rules together:
/// there are few rules, but possibly a million attributes.
struct ExistingKeys<'m> {
    message: &'m [u8],
    attributes: u32,
    found: OnceCell<Vec<bool>>,
}

impl<'m> ExistingKeys<'m> {
    fn new(message: &'m [u8], attributes: u32) -> Self {
        Self { message, attributes, found: OnceCell::new() }
    }

    fn contains<'k>(&self, rule: usize, keys: impl ExactSizeIterator<Item = &'k str> + Clone) -> bool {
        let found = self.found.get_or_init(|| {
            let mut found = vec![false; keys.len()];
            for field in WireFields(self.message).filter(|field| field.key == self.attributes) {
                let sent = key(field.body);
                let known = found.iter_mut().zip(keys.clone());
                known.for_each(|(found, wanted)| *found |= wanted.as_bytes() == sent);
            }
            found
        });
        found.get(rule).copied().unwrap_or_default()
    }
}

/// The rules, and the number of renamed attributes of the push.
pub(super) struct NameRewriter<'r> {
    rules: &'r NormaliseRules<'r>,
    renamed: Cell<usize>,
}

impl<'r> NameRewriter<'r> {
    pub(super) fn new(rules: &'r NormaliseRules<'r>) -> Self {
        Self { rules, renamed: Cell::new(0) }
    }

    /// Counts a renamed attribute. Beyond the limit nothing is rewritten, and the push is not normalised.
    fn count_rename(&self) -> bool {
        let renamed = self.renamed.get();
        self.renamed.set(renamed.saturating_add(1));
        renamed < MAX_PARTS
    }

    fn check_count<T>(&self, spelt: T) -> Result<T, NormaliseError> {
        if self.renamed.get() <= MAX_PARTS { Ok(spelt) } else { Err(NormaliseError::TooManyParts) }
    }

    /// Renames the attributes of a `ResourceMetrics`, whose resource has the key `resource`.
    pub(super) fn resource<'a>(&self, block: Cow<'a, [u8]>, resource: u32) -> Result<Cow<'a, [u8]>, NormaliseError> {
        if self.rules.resource_keys.is_empty() {
            return Ok(block);
        }
        self.check_count(fields(block, |field, out| {
            if field.key != resource {
                return false;
            }
            let taken = ExistingKeys::new(field.body, FIRST);
            let renamed = fields(Cow::Borrowed(field.body), |attribute, out| {
                attribute.key == FIRST && self.rename(&taken, attribute.body, out)
            });
            let changed = matches!(renamed, Cow::Owned(_));
            if changed {
                put_delimited(out, resource >> 3, &renamed);
            }
            changed
        }))
    }

    fn rename(&self, taken: &ExistingKeys<'_>, attribute: &[u8], out: &mut Vec<u8>) -> bool {
        let (sent, keys) = (key(attribute), self.rules.resource_keys);
        let fits = keys.iter().enumerate().find(|(_, (from, _))| from.as_bytes() == sent);
        let Some((rule, (_, to))) = fits else { return false };
        if taken.contains(rule, keys.iter().map(|(_, to)| *to)) || !self.count_rename() {
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

    /// Renames the labels of a data point, which are in the field `attributes`.
    pub(super) fn point<'a>(&self, point: &'a [u8], attributes: u32) -> Result<Cow<'a, [u8]>, NormaliseError> {
        let taken = ExistingKeys::new(point, attributes << 3 | 2);
        self.check_count(fields(Cow::Borrowed(point), |field, out| {
            field.key == attributes << 3 | 2 && self.label(&taken, field.body, attributes, out)
        }))
    }

    fn label(&self, taken: &ExistingKeys<'_>, attribute: &[u8], attributes: u32, out: &mut Vec<u8>) -> bool {
        let (sent, labels) = (key(attribute), self.rules.labels);
        let fits = labels.iter().enumerate().find(|(_, label)| label.from.as_bytes() == sent);
        let Some((rule, label)) = fits else { return false };
        let Some(number) = integer(attribute) else { return false };
        if taken.contains(rule, labels.iter().map(|label| label.to)) || !self.count_rename() {
            return false;
        }
        put_text(out, attributes, label.to, &format!("{}{number}", label.prefix));
        true
    }

    /// Renames a metric and replaces its description and unit; `head` is the metric without its data.
    pub(super) fn metric<'a>(&self, head: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let renamed = renamed(head, self.rules.prefixes);
        match self.rules.described {
            Some(all) => described(renamed, all),
            None => renamed,
        }
    }
}

fn renamed<'a>(head: Cow<'a, [u8]>, prefixes: &[(&str, &str)]) -> Cow<'a, [u8]> {
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

fn described<'a>(head: Cow<'a, [u8]>, all: &[MetricDescription<'_>]) -> Cow<'a, [u8]> {
    let known = all.binary_search_by(|known| known.name.as_bytes().cmp(key(&head))).ok().and_then(|at| all.get(at));
    let wanted = known.map_or([(DESCRIPTION, ""), (UNIT, "")], |k| [(DESCRIPTION, k.description), (UNIT, k.unit)]);
    let stands = |(number, text): (u32, &str)| {
        let mut sent = WireFields(&head).filter(|field| field.key == number << 3 | 2);
        match (sent.next(), sent.next()) {
            (None, _) => text.is_empty(),
            (Some(field), None) => !text.is_empty() && field.body == text.as_bytes(),
            (Some(_), Some(_)) => false,
        }
    };
    if wanted.into_iter().all(stands) {
        return head;
    }
    let replaced = |field: &WireField<'_>| wanted.iter().any(|(number, _)| field.key == number << 3 | 2);
    let mut out: Vec<u8> = Vec::with_capacity(head.len());
    WireFields(&head).filter(|field| !replaced(field)).for_each(|field| out.extend_from_slice(field.raw));
    for (number, text) in wanted.into_iter().filter(|(_, text)| !text.is_empty()) {
        put_delimited(&mut out, number, text.as_bytes());
    }
    Cow::Owned(out)
}

/// The value of an attribute that consists of exactly a key and an integer.
fn integer(key_value: &[u8]) -> Option<i64> {
    let mut fields = WireFields(key_value);
    let (key, value) = (fields.next()?, fields.next()?);
    let plain = key.key == FIRST && value.key == VALUE && fields.next().is_none();
    let mut parts = WireFields(value.body).filter(|_| plain);
    let number = parts.next().filter(|field| field.key == INT)?;
    let mut bytes = number.body;
    parts.next().is_none().then(|| wire::varint(&mut bytes).ok().map(|number| number as i64))?
}

/// Appends `KeyValue { key, value: AnyValue { string_value } }` as a field with this number.
fn put_text(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    let (mut value, mut attribute) = (Vec::new(), Vec::new());
    put_delimited(&mut value, 1, text.as_bytes());
    put_delimited(&mut attribute, 1, key.as_bytes());
    put_delimited(&mut attribute, 2, &value);
    put_delimited(out, number, &attribute);
}

/// Whether the value of a number data point is NaN. The last occurrence counts.
pub(super) fn is_nan(point: &[u8]) -> bool {
    let value = WireFields(point).filter(|field| matches!(field.key, AS_DOUBLE | AS_INT)).last();
    let double = value.filter(|field| field.key == AS_DOUBLE).and_then(|field| field.body.first_chunk::<8>());
    double.is_some_and(|bytes| f64::from_le_bytes(*bytes).is_nan())
}
