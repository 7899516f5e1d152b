//! Where administrators are served: Kafka's requests about configurations, put to the book of subscriptions.
//!
//! In: a request that was read, and who asks. Out: its answer. Each resource is refused or answered by itself. Bounded in
//! resources of a request; an answer is held against the byte budget before it is written. Alterations run where they
//! may block, and a listener that has authentication says who may ask at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::describe_configs::{self, Entry, Found};
use super::list_resources::{self, CLIENT_METRICS, Types, Wanted};
use super::request::Head;
use super::{Shared, alter_configs};
use crate::kafka::api;
use crate::listener::budget::Hold;
use crate::push::Client;
use crate::subscription::{AlterRefused, Altered, Change, Described, DescribedEntry, Op, OpKind, Source};

/// Most resources of one request.
const RESOURCES: usize = 1_000;
/// Most operations of one resource that are looked at: of more than there are keys, one is wrong.
const OPS: usize = 4;
/// Longer words are cut: strings of old versions have no room for all there may be.
const WORDS: usize = 1_000;
/// Kafka's ConfigType.
const INT: i8 = 3;
const LIST: i8 = 7;

/// An error code and what it means, in one sentence.
type Refusal = (i16, String);

/// The desk, with somebody before it.
pub(crate) struct Desk<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) client: &'a Client,
}

impl Desk<'_> {
    /// Answers DescribeConfigs.
    pub(crate) async fn describe(
        &self,
        head: &Head<'_>,
        asked: &describe_configs::Asked<'_>,
        hold: &mut Hold,
    ) -> Vec<u8> {
        let resources = &asked.resources;
        let verdicts: Vec<_> = match too_many(resources.len()) {
            Some(refusal) => vec![Err(refusal)],
            None => {
                let twice = twice(resources.iter().map(|resource| (resource.kind, resource.name)));
                // Of a name that does not exist, the defaults: as Kafka has it since 4.0.
                let defaults = Arc::new(Described::defaults(""));
                let described = |name| self.shared.subscriptions.describe(name).unwrap_or_else(|| defaults.clone());
                let subscription = resources.iter().map(|r| self.subscription(r.kind, r.name, &twice));
                subscription.map(|name| name.map(described)).collect()
            }
        };
        let read_only = self.shared.subscriptions.is_fleet();
        let found = |(nth, resource)| found(resource, verdicts.get(nth), read_only, head.version);
        // Twice over the same: values are not copied before there is room for them.
        let size = resources.iter().enumerate().map(found).map(|found| found.size()).sum::<usize>();
        hold.grow(asked.answer_bound().saturating_add(size)).await;
        describe_configs::write(head, asked, resources.iter().enumerate().map(found))
    }

    /// Answers IncrementalAlterConfigs.
    pub(crate) async fn alter(&self, head: &Head<'_>, asked: &alter_configs::Asked<'_>, hold: &mut Hold) -> Vec<u8> {
        let resources = &asked.resources;
        // What is to be altered is copied out of the frame, and words may come back for each.
        let words = resources.len().min(RESOURCES).saturating_mul(WORDS);
        hold.grow(asked.answer_bound().saturating_mul(2).saturating_add(words)).await;
        let answers = match too_many(resources.len()) {
            Some((error, words)) => vec![(error, Some(words))],
            None => self.altered(asked).await,
        };
        let done = resources.iter().enumerate().map(|(nth, resource)| {
            let answer = answers.get(nth).map(|(error, words)| (*error, words.as_deref().map(cut)));
            (answer.unwrap_or((api::INVALID_REQUEST, None)), resource)
        });
        alter_configs::write(head, asked, done)
    }

    /// An answer for each resource, in order.
    async fn altered(&self, asked: &alter_configs::Asked<'_>) -> Vec<(i16, Option<String>)> {
        let twice = twice(asked.resources.iter().map(|resource| (resource.kind, resource.name)));
        let mut changes = Vec::new();
        let mut refusals = Vec::new();
        for resource in asked.resources.iter() {
            let name = self.subscription(resource.kind, resource.name, &twice);
            let change = name.and_then(|name| Ok(Change { name: name.to_owned(), ops: ops(&resource)? }));
            refusals.push(change.map(|change| changes.push(change)).err());
        }
        let altered = self.shared.subscriptions.alter_all(self.who(), changes, asked.validate_only).await;
        let mut altered = altered.into_iter();
        let mut answer = |refusal: Option<Refusal>| match refusal {
            Some((error, words)) => (error, Some(words)),
            None => altered.next().map_or((api::UNKNOWN_SERVER_ERROR, None), outcome),
        };
        refusals.into_iter().map(&mut answer).collect()
    }

    /// Answers ListConfigResources.
    pub(crate) async fn list(&self, head: &Head<'_>, types: &Types<'_>, hold: &mut Hold) -> Vec<u8> {
        let (error, names) = match list_resources::wanted(types) {
            _ if !self.may() => (api::CLUSTER_AUTHORIZATION_FAILED, Vec::new()),
            Wanted::Unknown => (api::UNSUPPORTED_VERSION, Vec::new()),
            Wanted::Nothing => (api::NONE, Vec::new()),
            Wanted::Subscriptions => (api::NONE, self.shared.subscriptions.list()),
        };
        hold.grow(names.iter().map(|name| name.len().saturating_add(8)).sum()).await;
        list_resources::write(head, error, &names)
    }

    /// The name of a subscription that this client may be answered about.
    fn subscription<'n>(&self, kind: i8, name: &'n [u8], twice: &BTreeSet<&[u8]>) -> Result<&'n str, Refusal> {
        if !self.may() {
            let who = self.client.principal.as_deref().unwrap_or(super::ANONYMOUS);
            let words = format!("`{who}` may not see or alter subscriptions here; have it listed as an admin");
            return Err((api::CLUSTER_AUTHORIZATION_FAILED, words));
        }
        let refuse = |words: &str| Err((api::INVALID_REQUEST, words.to_owned()));
        if kind != CLIENT_METRICS {
            return refuse("this listener keeps client-metrics subscriptions only");
        }
        if name.is_empty() {
            return refuse("the resource has no name; name the subscription");
        }
        if twice.contains(name) {
            return refuse("this resource is named twice; name each once");
        }
        std::str::from_utf8(name).or_else(|_| refuse("the name is not UTF-8"))
    }

    fn may(&self) -> bool {
        self.shared.config.access.allows(self.client.principal.as_deref())
    }

    /// For the audit log.
    fn who(&self) -> String {
        let from = self.client.source.map_or_else(|| "somewhere".into(), |source| source.to_string());
        match &self.client.principal {
            Some(principal) => format!("{principal} from {from}"),
            None => from,
        }
    }
}

/// Said of the first resource only: the answer must not be far longer than the question.
fn too_many(count: usize) -> Option<Refusal> {
    let words = || format!("the request names {count} resources; it may name {RESOURCES}");
    (count > RESOURCES).then(|| (api::INVALID_REQUEST, words()))
}

/// The names of subscriptions that are there more than once.
fn twice<'a>(resources: impl Iterator<Item = (i8, &'a [u8])>) -> BTreeSet<&'a [u8]> {
    let mut seen = BTreeSet::new();
    let names = resources.filter(|(kind, _)| *kind == CLIENT_METRICS).map(|(_, name)| name);
    names.filter(|name| !seen.insert(*name)).collect()
}

fn ops(resource: &alter_configs::Resource<'_>) -> Result<Vec<Op>, Refusal> {
    let refuse = |words: String| (api::INVALID_REQUEST, words);
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|_| refuse("a key or a value is not UTF-8".into()))
    };
    let op = |op: alter_configs::Op<'_>| {
        let kind = OpKind::of(op.kind).ok_or_else(|| refuse(format!("there is no operation {}", op.kind)))?;
        Ok(Op { key: text(op.key)?, kind, value: op.value.map(text).transpose()? })
    };
    resource.ops.iter().take(OPS).map(op).collect()
}

/// "Done" has words too: tools show them, and Java passes over them.
fn outcome(altered: Result<Altered, AlterRefused>) -> (i16, Option<String>) {
    match altered {
        Ok(altered) => (api::NONE, altered.words),
        Err(refused) => {
            let error = match refused {
                AlterRefused::Request(_) => api::INVALID_REQUEST,
                AlterRefused::Config(_) => api::INVALID_CONFIG,
                AlterRefused::Policy(_) => api::POLICY_VIOLATION,
                AlterRefused::Busy(_) => api::REQUEST_TIMED_OUT,
                AlterRefused::Broken(_) => api::UNKNOWN_SERVER_ERROR,
            };
            (error, Some(refused.to_string()))
        }
    }
}

fn found<'a>(
    resource: describe_configs::Resource<'a>,
    verdict: Option<&'a Result<Arc<Described>, Refusal>>,
    read_only: bool,
    version: i16,
) -> Found<'a> {
    let (kind, name) = (resource.kind, resource.name);
    let refused = |error, words| Found { error, words, kind, name, entries: Vec::new() };
    let described = match verdict {
        None => return refused(api::INVALID_REQUEST, None),
        Some(Err((error, words))) => return refused(*error, Some(cut(words))),
        Some(Ok(described)) => described,
    };
    let is_asked = |entry: &&DescribedEntry| {
        let named = |key: &[u8]| key == entry.key.as_str().as_bytes();
        resource.keys.as_ref().is_none_or(|keys| keys.iter().any(|key| named(key.0)))
    };
    let entries = described.entries.iter().filter(is_asked).map(|entry| shown(entry, read_only)).collect();
    let found = Found { error: api::NONE, words: described.problem.as_deref().map(cut), kind, name, entries };
    if found.can_be_spelled(version) {
        return found;
    }
    refused(api::INVALID_REQUEST, Some("a value is longer than this version can say; ask with version 4"))
}

fn shown(entry: &DescribedEntry, read_only: bool) -> Entry<'_> {
    Entry {
        name: entry.key.as_str(),
        kind: if entry.key.is_list() { LIST } else { INT },
        read_only,
        documentation: entry.key.documentation(),
        value: entry.value(),
        source: source(entry.source()),
        is_default: entry.source() == Source::Default,
        synonyms: entry.synonyms.iter().map(|(by, text)| (source(*by), text.as_str())).collect(),
    }
}

/// Kafka's ConfigSource.
fn source(source: Source) -> i8 {
    match source {
        Source::Dynamic => 7,
        Source::File => 4,
        Source::Default => 5,
    }
}

fn cut(words: &str) -> &str {
    words.get(..words.floor_char_boundary(WORDS)).unwrap_or(words)
}
