//! Parses a push into a tree: separates child messages from the fields that identify a node.

use std::borrow::Cow;

use super::rename::{NameRewriter, is_nan};
use super::tree::{NONE, NodeKey, Tree};
use super::{NormaliseError, NormaliseRules};
use crate::wire::{WireField, WireFields};

const fn message(number: u32) -> u32 {
    number << 3 | 2
}

/// `MetricsData.resource_metrics` and `ResourceMetrics.resource`.
const FIRST: u32 = message(1);
/// `ResourceMetrics.scope_metrics` and `ScopeMetrics.metrics`.
const CHILDREN: u32 = message(2);
const SCHEMA_URL: u32 = message(3);
const DATA_POINTS: u32 = message(1);

/// Parses a push into a tree, and applies the rules for names.
pub(super) fn tree<'a>(metrics_data: &'a [u8], rules: &NormaliseRules<'_>) -> Result<Tree<'a>, NormaliseError> {
    let mut parts = Parts { tree: Tree::new(), spelling: NameRewriter::new(rules), before: None };
    for WireField { key, raw, body } in WireFields(metrics_data) {
        match key {
            FIRST => parts.resource_metrics(body)?,
            _ => join(&mut parts.tree.unknown, raw),
        }
    }
    Ok(parts.tree)
}

struct Parts<'a, 'r> {
    tree: Tree<'a>,
    spelling: NameRewriter<'r>,
    /// The previous resource, as sent, and its node: Java repeats the same resource for every data point.
    before: Option<(Cow<'a, [u8]>, u32)>,
}

/// The fields of a message except child messages, as sent.
#[derive(Default)]
struct OwnFields<'a> {
    bytes: Cow<'a, [u8]>,
    has_unknown_fields: bool,
}

impl<'a> OwnFields<'a> {
    fn collect(body: &'a [u8], child: u32, known: impl Fn(u32) -> bool) -> Self {
        let mut head = Self::default();
        for field in WireFields(body).filter(|field| field.key != child) {
            head.has_unknown_fields |= !known(field.key);
            join(&mut head.bytes, field.raw);
        }
        head
    }
}

/// Appends bytes. Borrows a single piece instead of copying it.
fn join<'a>(bytes: &mut Cow<'a, [u8]>, more: &'a [u8]) {
    match bytes {
        Cow::Borrowed([]) => *bytes = Cow::Borrowed(more),
        _ => bytes.to_mut().extend_from_slice(more),
    }
}

impl<'a> Parts<'a, '_> {
    fn resource_metrics(&mut self, body: &'a [u8]) -> Result<(), NormaliseError> {
        let head = OwnFields::collect(body, CHILDREN, |key| matches!(key, FIRST | SCHEMA_URL));
        let known = self.before.as_ref().filter(|(bytes, _)| !head.has_unknown_fields && *bytes == head.bytes);
        let group = match known {
            Some((_, group)) => *group,
            None => self.new_resource(head)?,
        };
        WireFields(body)
            .filter(|field| field.key == CHILDREN)
            .try_for_each(|scope| self.scope_metrics(group, scope.body))
    }

    fn new_resource(
        &mut self,
        OwnFields { bytes, has_unknown_fields: strange }: OwnFields<'a>,
    ) -> Result<u32, NormaliseError> {
        let head = self.spelling.resource(bytes.clone(), FIRST)?;
        let group = self.tree.group(NONE, 1, NodeKey { head, ..NodeKey::default() }, strange)?;
        self.before = (!strange).then_some((bytes, group));
        Ok(group)
    }

    fn scope_metrics(&mut self, resource: u32, body: &'a [u8]) -> Result<(), NormaliseError> {
        let OwnFields { bytes: head, has_unknown_fields: strange } =
            OwnFields::collect(body, CHILDREN, |key| matches!(key, FIRST | SCHEMA_URL));
        let group = self.tree.group(resource, 2, NodeKey { head, ..NodeKey::default() }, strange)?;
        WireFields(body).filter(|field| field.key == CHILDREN).try_for_each(|metric| self.metric(group, metric.body))
    }

    fn metric(&mut self, scope: u32, body: &'a [u8]) -> Result<(), NormaliseError> {
        let (mut head, mut strange, mut data) = (Cow::default(), false, None);
        for field in WireFields(body) {
            match DataKind::from_key(field.key) {
                Some(kind) if data.is_none() => data = Some((kind, field.body)),
                Some(_) => return Err(NormaliseError::SplitData),
                None => {
                    strange |= !matches!(field.key >> 3, 1..=3 | 12);
                    join(&mut head, field.raw);
                }
            }
        }
        let head = self.spelling.metric(head);
        match data {
            None => self.tree.group(scope, 2, NodeKey { head, ..NodeKey::default() }, strange).map(|_| ()),
            Some((kind, data)) => self.points(scope, head, strange, kind, data),
        }
    }

    fn points(
        &mut self,
        scope: u32,
        head: Cow<'a, [u8]>,
        strange: bool,
        kind: DataKind,
        data: &'a [u8],
    ) -> Result<(), NormaliseError> {
        // The temporality and `is_monotonic`.
        let tail = OwnFields::collect(data, DATA_POINTS, |key| matches!(key >> 3, 2 | 3));
        let identity = NodeKey { head, data: kind.number(), tail: tail.bytes };
        let group = self.tree.group(scope, 2, identity, strange || tail.has_unknown_fields)?;
        for point in WireFields(data).filter(|field| field.key == DATA_POINTS) {
            if kind == DataKind::Gauge && is_nan(point.body) {
                self.tree.drop_point(group);
            } else {
                let spelt = self.spelling.point(point.body, kind.attributes())?;
                self.tree.point(group, spelt)?;
            }
        }
        Ok(())
    }
}

/// The kind of a metric's `data`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DataKind {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

impl DataKind {
    fn from_key(key: u32) -> Option<Self> {
        const KINDS: [DataKind; 5] =
            [DataKind::Gauge, DataKind::Sum, DataKind::Histogram, DataKind::Exponential, DataKind::Summary];
        KINDS.into_iter().find(|kind| message(kind.number()) == key)
    }

    /// The field number in `Metric`.
    fn number(self) -> u32 {
        match self {
            Self::Gauge => 5,
            Self::Sum => 7,
            Self::Histogram => 9,
            Self::Exponential => 10,
            Self::Summary => 11,
        }
    }

    /// The field number of the attributes in its data points.
    fn attributes(self) -> u32 {
        match self {
            Self::Gauge | Self::Sum | Self::Summary => 7,
            Self::Histogram => 9,
            Self::Exponential => 1,
        }
    }
}
