//! Kafka's admin requests about configurations, applied to the subscriptions.
//!
//! In: a decoded request and its client. Out: the response. Each resource succeeds or fails on its own. Bounded in
//! resources per request; a response is reserved in the byte budget before it is encoded. Alterations run on threads
//! that may block. Only the principals that the listener lists as admins are authorized.

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

/// The most resources of one request.
const MAX_RESOURCES: usize = 1_000;
/// The most operations that are read for one resource: if there are more than there are keys, one of them is wrong.
const MAX_OPS: usize = 4;
/// Longer messages are truncated: strings of old versions end at 32,767 bytes.
const MAX_MESSAGE_BYTES: usize = 1_000;
/// Kafka's ConfigType.
const CONFIG_TYPE_INT: i8 = 3;
const CONFIG_TYPE_LIST: i8 = 7;

/// An error code and its message, one sentence.
type CodedError = (i16, String);

/// Handles the admin requests of one client.
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
                // For a name that does not exist, the defaults, as Kafka does since 4.0.
                let defaults = Arc::new(DescribedSubscription::defaults(""));
                let described = |name| self.shared.subscriptions.describe(name).unwrap_or_else(|| defaults.clone());
                let subscription = resources.iter().map(|r| self.authorized_name(r.kind, r.name, &duplicates));
                subscription.map(|name| name.map(described)).collect()
            }
        };
        let read_only = self.shared.subscriptions.is_fleet();
        let found = |(nth, resource)| describe_resource(resource, verdicts.get(nth), read_only, head.version);
        // The descriptions are computed twice: values are copied only once the budget has reserved their bytes.
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
        // The changes are copied out of the frame, and each result may have a message.
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

    /// A result for each resource, in order.
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

    /// The name of a subscription that this client may describe and alter.
    fn authorized_name<'n>(
        &self,
        kind: i8,
        name: &'n [u8],
        duplicates: &BTreeSet<&[u8]>,
    ) -> Result<&'n str, CodedError> {
        if !self.is_authorized() {
            let who = self.client.principal.as_deref().unwrap_or(super::ANONYMOUS);
            let words = format!(
                "`{who}` is not authorized to describe or alter subscriptions; add it to `admins` in the host's configuration"
            );
            return Err((api::CLUSTER_AUTHORIZATION_FAILED, words));
        }
        let refuse = |words: &str| Err((api::INVALID_REQUEST, words.to_owned()));
        if kind != CLIENT_METRICS {
            return refuse("only resources of type client-metrics exist here");
        }
        if name.is_empty() {
            return refuse("the resource has no name; write the subscription's name");
        }
        if duplicates.contains(name) {
            return refuse("the resource occurs twice in the request; send it once");
        }
        std::str::from_utf8(name).or_else(|_| refuse("the name is not UTF-8"))
    }

    fn is_authorized(&self) -> bool {
        self.shared.config.access.allows(self.client.principal.as_deref())
    }

    /// The actor in the audit log.
    fn actor(&self) -> String {
        let from = self.client.source.map_or_else(|| "an unknown address".into(), |source| source.to_string());
        match &self.client.principal {
            Some(principal) => format!("{principal} from {from}"),
            None => from,
        }
    }
}

/// Reported for the first resource only: the response must not be far longer than the request.
fn too_many(count: usize) -> Option<CodedError> {
    let words = || format!("the request has {count} resources; at most {MAX_RESOURCES} are allowed");
    (count > MAX_RESOURCES).then(|| (api::INVALID_REQUEST, words()))
}

/// The names of subscriptions that occur more than once.
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
        let kind = EntryOpKind::from_code(op.kind).ok_or_else(|| refuse(format!("unknown operation {}", op.kind)))?;
        Ok(EntryOp { key: text(op.key)?, kind, value: op.value.map(text).transpose()? })
    };
    resource.ops.iter().take(MAX_OPS).map(op).collect()
}

/// Success has a message too: tools print it, and the Java client ignores it.
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
    refused(api::INVALID_REQUEST, Some("a value is too long for this version of DescribeConfigs; use version 4"))
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
