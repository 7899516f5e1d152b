//! Where administrators are served: Kafka's requests about configurations, put to the book of subscriptions.
//!
//! In: a request that was read, and who asks. Out: its answer. Each resource is refused or answered by itself. Bounded in
//! resources of a request; an answer is held against the byte budget before it is written. Alterations run where they
//! may block, and a listener that has authentication says who may ask at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::ListenerContext;
use crate::budget::Hold;
use crate::subscription::{
    AlterError, AlterOutcome, DescribedEntry, DescribedSubscription, EntryOp, EntryOpKind, SubscriptionChange,
    ValueSource,
};
use barnabas_kafka_wire::alter_configs;
use barnabas_kafka_wire::api;
use barnabas_kafka_wire::describe_configs;
use barnabas_kafka_wire::describe_configs::{ConfigEntry, ResourceDescription};
use barnabas_kafka_wire::list_resources;
use barnabas_kafka_wire::list_resources::{CLIENT_METRICS, ListedResources, ResourceTypes};
use barnabas_kafka_wire::request::KafkaRequestHead;
use barnabas_pipeline::push::Client;

/// Most resources of one request.
const MAX_RESOURCES: usize = 1_000;
/// Most operations of one resource that are looked at: of more than there are keys, one is wrong.
const MAX_OPS: usize = 4;
/// Longer words are cut: strings of old versions have no room for all there may be.
const MAX_MESSAGE_BYTES: usize = 1_000;
/// Kafka's ConfigType.
const CONFIG_TYPE_INT: i8 = 3;
const CONFIG_TYPE_LIST: i8 = 7;

/// An error code and what it means, in one sentence.
type CodedError = (i16, String);

/// The desk, with somebody before it.
pub(crate) struct AdminHandler<'a> {
    pub(crate) shared: &'a ListenerContext,
    pub(crate) client: &'a Client,
}

impl AdminHandler<'_> {
    /// Answers DescribeConfigs.
    pub(crate) async fn describe(
        &self,
        head: &KafkaRequestHead<'_>,
        request: &describe_configs::DescribeConfigsBody<'_>,
        hold: &mut Hold,
    ) -> Vec<u8> {
        let resources = &request.resources;
        let verdicts: Vec<_> = match too_many(resources.len()) {
            Some(refusal) => vec![Err(refusal)],
            None => {
                let duplicates = duplicate_names(resources.iter().map(|resource| (resource.kind, resource.name)));
                // Of a name that does not exist, the defaults: as Kafka has it since 4.0.
                let defaults = Arc::new(DescribedSubscription::defaults(""));
                let described = |name| self.shared.subscriptions.describe(name).unwrap_or_else(|| defaults.clone());
                let subscription = resources.iter().map(|r| self.authorized_name(r.kind, r.name, &duplicates));
                subscription.map(|name| name.map(described)).collect()
            }
        };
        let read_only = self.shared.subscriptions.is_fleet();
        let found = |(nth, resource)| describe_resource(resource, verdicts.get(nth), read_only, head.version);
        // Twice over the same: values are not copied before there is room for them.
        let size = resources.iter().enumerate().map(found).map(|found| found.size()).sum::<usize>();
        hold.grow(request.answer_bound().saturating_add(size)).await;
        describe_configs::write(head, request, resources.iter().enumerate().map(found))
    }

    /// Answers IncrementalAlterConfigs.
    pub(crate) async fn alter(
        &self,
        head: &KafkaRequestHead<'_>,
        request: &alter_configs::AlterConfigsBody<'_>,
        hold: &mut Hold,
    ) -> Vec<u8> {
        let resources = &request.resources;
        // What is to be altered is copied out of the frame, and words may come back for each.
        let words = resources.len().min(MAX_RESOURCES).saturating_mul(MAX_MESSAGE_BYTES);
        hold.grow(request.answer_bound().saturating_mul(2).saturating_add(words)).await;
        let answers = match too_many(resources.len()) {
            Some((error, words)) => vec![(error, Some(words))],
            None => self.alter_each(request).await,
        };
        let done = resources.iter().enumerate().map(|(nth, resource)| {
            let answer = answers.get(nth).map(|(error, words)| (*error, words.as_deref().map(truncate_message)));
            (answer.unwrap_or((api::INVALID_REQUEST, None)), resource)
        });
        alter_configs::write(head, request, done)
    }

    /// An answer for each resource, in order.
    async fn alter_each(&self, request: &alter_configs::AlterConfigsBody<'_>) -> Vec<(i16, Option<String>)> {
        let duplicates = duplicate_names(request.resources.iter().map(|resource| (resource.kind, resource.name)));
        let mut changes = Vec::new();
        let mut refusals = Vec::new();
        for resource in request.resources.iter() {
            let name = self.authorized_name(resource.kind, resource.name, &duplicates);
            let change =
                name.and_then(|name| Ok(SubscriptionChange { name: name.to_owned(), ops: read_ops(&resource)? }));
            refusals.push(change.map(|change| changes.push(change)).err());
        }
        let altered = self.shared.subscriptions.alter_all(self.actor(), changes, request.validate_only).await;
        let mut altered = altered.into_iter();
        let mut answer = |refusal: Option<CodedError>| match refusal {
            Some((error, words)) => (error, Some(words)),
            None => altered.next().map_or((api::UNKNOWN_SERVER_ERROR, None), alteration_result),
        };
        refusals.into_iter().map(&mut answer).collect()
    }

    /// Answers ListConfigResources.
    pub(crate) async fn list(
        &self,
        head: &KafkaRequestHead<'_>,
        types: &ResourceTypes<'_>,
        hold: &mut Hold,
    ) -> Vec<u8> {
        let (error, names) = match list_resources::listed(types) {
            _ if !self.is_authorized() => (api::CLUSTER_AUTHORIZATION_FAILED, Vec::new()),
            ListedResources::UnknownType => (api::UNSUPPORTED_VERSION, Vec::new()),
            ListedResources::Empty => (api::NONE, Vec::new()),
            ListedResources::Subscriptions => (api::NONE, self.shared.subscriptions.list()),
        };
        hold.grow(names.iter().map(|name| name.len().saturating_add(8)).sum()).await;
        list_resources::write(head, error, &names)
    }

    /// The name of a subscription that this client may be answered about.
    fn authorized_name<'n>(
        &self,
        kind: i8,
        name: &'n [u8],
        duplicates: &BTreeSet<&[u8]>,
    ) -> Result<&'n str, CodedError> {
        if !self.is_authorized() {
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
        if duplicates.contains(name) {
            return refuse("this resource is named twice; name each once");
        }
        std::str::from_utf8(name).or_else(|_| refuse("the name is not UTF-8"))
    }

    fn is_authorized(&self) -> bool {
        self.shared.config.access.allows(self.client.principal.as_deref())
    }

    /// For the audit log.
    fn actor(&self) -> String {
        let from = self.client.source.map_or_else(|| "somewhere".into(), |source| source.to_string());
        match &self.client.principal {
            Some(principal) => format!("{principal} from {from}"),
            None => from,
        }
    }
}

/// Said of the first resource only: the answer must not be far longer than the question.
fn too_many(count: usize) -> Option<CodedError> {
    let words = || format!("the request names {count} resources; it may name {MAX_RESOURCES}");
    (count > MAX_RESOURCES).then(|| (api::INVALID_REQUEST, words()))
}

/// The names of subscriptions that are there more than once.
fn duplicate_names<'a>(resources: impl Iterator<Item = (i8, &'a [u8])>) -> BTreeSet<&'a [u8]> {
    let mut seen = BTreeSet::new();
    let names = resources.filter(|(kind, _)| *kind == CLIENT_METRICS).map(|(_, name)| name);
    names.filter(|name| !seen.insert(*name)).collect()
}

fn read_ops(resource: &alter_configs::ResourceAlteration<'_>) -> Result<Vec<EntryOp>, CodedError> {
    let refuse = |words: String| (api::INVALID_REQUEST, words);
    let text = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|_| refuse("a key or a value is not UTF-8".into()))
    };
    let op = |op: alter_configs::ConfigOp<'_>| {
        let kind =
            EntryOpKind::from_code(op.kind).ok_or_else(|| refuse(format!("there is no operation {}", op.kind)))?;
        Ok(EntryOp { key: text(op.key)?, kind, value: op.value.map(text).transpose()? })
    };
    resource.ops.iter().take(MAX_OPS).map(op).collect()
}

/// "Done" has words too: tools show them, and Java passes over them.
fn alteration_result(altered: Result<AlterOutcome, AlterError>) -> (i16, Option<String>) {
    match altered {
        Ok(altered) => (api::NONE, altered.message),
        Err(refused) => {
            let error = match refused {
                AlterError::Request(_) => api::INVALID_REQUEST,
                AlterError::Config(_) => api::INVALID_CONFIG,
                AlterError::Policy(_) => api::POLICY_VIOLATION,
                AlterError::Busy(_) => api::REQUEST_TIMED_OUT,
                AlterError::Internal(_) => api::UNKNOWN_SERVER_ERROR,
            };
            (error, Some(refused.to_string()))
        }
    }
}

fn describe_resource<'a>(
    resource: describe_configs::ResourceQuery<'a>,
    verdict: Option<&'a Result<Arc<DescribedSubscription>, CodedError>>,
    read_only: bool,
    version: i16,
) -> ResourceDescription<'a> {
    let (kind, name) = (resource.kind, resource.name);
    let refused = |error, words| ResourceDescription { error, message: words, kind, name, entries: Vec::new() };
    let described = match verdict {
        None => return refused(api::INVALID_REQUEST, None),
        Some(Err((error, words))) => return refused(*error, Some(truncate_message(words))),
        Some(Ok(described)) => described,
    };
    let is_requested = |entry: &&DescribedEntry| {
        let named = |key: &[u8]| key == entry.key.as_str().as_bytes();
        resource.keys.as_ref().is_none_or(|keys| keys.iter().any(|key| named(key.0)))
    };
    let entries = described.entries.iter().filter(is_requested).map(|entry| config_entry(entry, read_only)).collect();
    let found = ResourceDescription {
        error: api::NONE,
        message: described.problem.as_deref().map(truncate_message),
        kind,
        name,
        entries,
    };
    if found.fits_version(version) {
        return found;
    }
    refused(api::INVALID_REQUEST, Some("a value is longer than this version can say; ask with version 4"))
}

fn config_entry(entry: &DescribedEntry, read_only: bool) -> ConfigEntry<'_> {
    ConfigEntry {
        name: entry.key.as_str(),
        kind: if entry.key.is_list() { CONFIG_TYPE_LIST } else { CONFIG_TYPE_INT },
        read_only,
        documentation: entry.key.documentation(),
        value: entry.value(),
        source: config_source(entry.source()),
        is_default: entry.source() == ValueSource::Default,
        synonyms: entry.synonyms.iter().map(|(by, text)| (config_source(*by), text.as_str())).collect(),
    }
}

/// Kafka's ConfigSource.
fn config_source(source: ValueSource) -> i8 {
    match source {
        ValueSource::Dynamic => 7,
        ValueSource::File => 4,
        ValueSource::Default => 5,
    }
}

fn truncate_message(words: &str) -> &str {
    words.get(..words.floor_char_boundary(MAX_MESSAGE_BYTES)).unwrap_or(words)
}
