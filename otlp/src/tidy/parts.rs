//! Takes a push apart: which fields are children, which say what a group is.

use std::borrow::Cow;

use super::spelling::{Spelling, is_nan};
use super::tree::{Identity, NONE, Tree};
use super::{Rules, Untidy};
use crate::wire::{Field, Fields};

const fn message(number: u32) -> u32 {
    number << 3 | 2
}

/// `MetricsData.resource_metrics` and `ResourceMetrics.resource`.
const FIRST: u32 = message(1);
/// `ResourceMetrics.scope_metrics` and `ScopeMetrics.metrics`.
const CHILDREN: u32 = message(2);
const SCHEMA_URL: u32 = message(3);
const DATA_POINTS: u32 = message(1);

/// The push as a tree, its names spelt by the rules.
pub(super) fn tree<'a>(metrics_data: &'a [u8], rules: &Rules<'_>) -> Result<Tree<'a>, Untidy> {
    let mut parts = Parts { tree: Tree::new(), spelling: Spelling::new(rules), before: None };
    for Field { key, raw, body } in Fields(metrics_data) {
        match key {
            FIRST => parts.resource_metrics(body)?,
            _ => join(&mut parts.tree.unknown, raw),
        }
    }
    Ok(parts.tree)
}

struct Parts<'a, 'r> {
    tree: Tree<'a>,
    spelling: Spelling<'r>,
    /// The resource of the block before, as sent, and its group: Java sends the same with every point.
    before: Option<(Cow<'a, [u8]>, u32)>,
}

/// The fields of a message that are no children, as sent.
#[derive(Default)]
struct Head<'a> {
    bytes: Cow<'a, [u8]>,
    strange: bool,
}

impl<'a> Head<'a> {
    fn of(body: &'a [u8], child: u32, known: impl Fn(u32) -> bool) -> Self {
        let mut head = Self::default();
        for field in Fields(body).filter(|field| field.key != child) {
            head.strange |= !known(field.key);
            join(&mut head.bytes, field.raw);
        }
        head
    }
}

/// Borrows as long as there is one piece.
fn join<'a>(bytes: &mut Cow<'a, [u8]>, more: &'a [u8]) {
    match bytes {
        Cow::Borrowed([]) => *bytes = Cow::Borrowed(more),
        _ => bytes.to_mut().extend_from_slice(more),
    }
}

impl<'a> Parts<'a, '_> {
    fn resource_metrics(&mut self, body: &'a [u8]) -> Result<(), Untidy> {
        let head = Head::of(body, CHILDREN, |key| matches!(key, FIRST | SCHEMA_URL));
        let known = self.before.as_ref().filter(|(bytes, _)| !head.strange && *bytes == head.bytes);
        let group = match known {
            Some((_, group)) => *group,
            None => self.new_resource(head)?,
        };
        Fields(body).filter(|field| field.key == CHILDREN).try_for_each(|scope| self.scope_metrics(group, scope.body))
    }

    fn new_resource(&mut self, Head { bytes, strange }: Head<'a>) -> Result<u32, Untidy> {
        let head = self.spelling.resource(bytes.clone(), FIRST)?;
        let group = self.tree.group(NONE, 1, Identity { head, ..Identity::default() }, strange)?;
        self.before = (!strange).then_some((bytes, group));
        Ok(group)
    }

    fn scope_metrics(&mut self, resource: u32, body: &'a [u8]) -> Result<(), Untidy> {
        let Head { bytes: head, strange } = Head::of(body, CHILDREN, |key| matches!(key, FIRST | SCHEMA_URL));
        let group = self.tree.group(resource, 2, Identity { head, ..Identity::default() }, strange)?;
        Fields(body).filter(|field| field.key == CHILDREN).try_for_each(|metric| self.metric(group, metric.body))
    }

    fn metric(&mut self, scope: u32, body: &'a [u8]) -> Result<(), Untidy> {
        let (mut head, mut strange, mut data) = (Cow::default(), false, None);
        for field in Fields(body) {
            match Kind::of(field.key) {
                Some(kind) if data.is_none() => data = Some((kind, field.body)),
                Some(_) => return Err(Untidy::SplitData),
                None => {
                    strange |= !matches!(field.key >> 3, 1..=3 | 12);
                    join(&mut head, field.raw);
                }
            }
        }
        let head = self.spelling.metric(head);
        match data {
            None => self.tree.group(scope, 2, Identity { head, ..Identity::default() }, strange).map(|_| ()),
            Some((kind, data)) => self.points(scope, head, strange, kind, data),
        }
    }

    fn points(
        &mut self,
        scope: u32,
        head: Cow<'a, [u8]>,
        strange: bool,
        kind: Kind,
        data: &'a [u8],
    ) -> Result<(), Untidy> {
        // Temporality and monotonicity.
        let tail = Head::of(data, DATA_POINTS, |key| matches!(key >> 3, 2 | 3));
        let identity = Identity { head, data: kind.number(), tail: tail.bytes };
        let group = self.tree.group(scope, 2, identity, strange || tail.strange)?;
        for point in Fields(data).filter(|field| field.key == DATA_POINTS) {
            if kind == Kind::Gauge && is_nan(point.body) {
                self.tree.lose(group);
            } else {
                let spelt = self.spelling.point(point.body, kind.attributes())?;
                self.tree.point(group, spelt)?;
            }
        }
        Ok(())
    }
}

/// What a metric's data is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gauge,
    Sum,
    Histogram,
    Exponential,
    Summary,
}

impl Kind {
    fn of(key: u32) -> Option<Self> {
        const KINDS: [Kind; 5] = [Kind::Gauge, Kind::Sum, Kind::Histogram, Kind::Exponential, Kind::Summary];
        KINDS.into_iter().find(|kind| message(kind.number()) == key)
    }

    /// Its field of the metric.
    fn number(self) -> u32 {
        match self {
            Self::Gauge => 5,
            Self::Sum => 7,
            Self::Histogram => 9,
            Self::Exponential => 10,
            Self::Summary => 11,
        }
    }

    /// The field of its points that has their labels.
    fn attributes(self) -> u32 {
        match self {
            Self::Gauge | Self::Sum | Self::Summary => 7,
            Self::Histogram => 9,
            Self::Exponential => 1,
        }
    }
}
