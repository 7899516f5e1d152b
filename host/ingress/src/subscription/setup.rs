//! Loads the subscriptions at startup: the file's, and the alterations in the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::effective::EffectiveSubscription;
use super::{AlterError, Entries, KIND, SubscriptionKey, SubscriptionMap, Subscriptions, SubscriptionsInner};
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::Admission;
use barnabas_storage::audit::AuditLog;
use barnabas_storage::store::Store;

/// The version of the documents that are written.
const VERSION: u64 = 1;

/// The subscriptions of the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriptionsConfig {
    /// Only the file counts: all hosts of a fleet must have the same subscriptions.
    pub fleet: bool,
    /// The file's subscriptions by name, each valid on its own.
    pub from_file: BTreeMap<Arc<str>, Entries>,
}

/// What the subscriptions are loaded from and applied to.
pub struct SubscriptionsSetup {
    /// The subscriptions of the configuration file.
    pub config: SubscriptionsConfig,
    /// Where alterations are stored.
    pub store: Store,
    /// Where alterations are recorded.
    pub audit: AuditLog,
    /// The admission that gets the rules.
    pub admission: Arc<Admission>,
    /// Its configuration without the rules.
    pub settings: admission::AdmissionConfig,
}

/// The altered entries of one subscription.
#[derive(Deserialize, Serialize)]
pub(super) struct SubscriptionDocument {
    version: u64,
    entries: Entries,
}

impl SubscriptionDocument {
    pub(super) fn new(entries: &Entries) -> Self {
        Self { version: VERSION, entries: entries.clone() }
    }

    fn read(value: Value) -> Result<Entries, UnreadableDocument> {
        let version = value.get("version").and_then(Value::as_u64);
        if version.is_some_and(|version| version > VERSION) {
            return Err(UnreadableDocument::Later);
        }
        let document =
            serde_json::from_value::<Self>(value).map_err(|error| UnreadableDocument::Damaged(error.to_string()));
        document.map(|document| document.entries)
    }
}

/// Why a document cannot be read.
enum UnreadableDocument {
    /// It was written by a later release, and must be preserved.
    Later,
    /// It is damaged; this is the error.
    Damaged(String),
}

impl Subscriptions {
    /// Loads the store, and configures admission. Blocks. Fails only if the store does; documents that this release
    /// cannot use are logged as warnings, kept, and disabled.
    pub fn open(opening: SubscriptionsSetup) -> anyhow::Result<Self> {
        let SubscriptionsSetup {
            config: SubscriptionsConfig { fleet, from_file: floor },
            store,
            audit,
            admission,
            settings,
        } = opening;
        let records =
            store.records::<Value>(KIND).context("failed to read the altered subscriptions from the store")?;
        let book = if fleet { from_files(floor, &records) } else { from_files_and_store(floor, records) };
        let (book, turn, queue) = (Mutex::new(Arc::new(book)), Mutex::default(), Arc::default());
        let opened =
            Self(Arc::new(SubscriptionsInner { store, audit, admission, settings, fleet, current: book, turn, queue }));
        opened.0.admission.reconfigure(opened.admission_config(&opened.snapshot()));
        Ok(opened)
    }
}

impl SubscriptionsConfig {
    /// The entries of one subscription in the file. A duplicate pair is stored once.
    pub fn entries<'a>(
        metrics: &[String],
        interval_ms: u64,
        matches: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Entries {
        let mut named = Vec::new();
        for metric in metrics {
            // Equivalent for clients, and visible.
            let metric = if metric.is_empty() { "*" } else { metric };
            if !named.iter().any(|known| known == metric) {
                named.push(metric.to_owned());
            }
        }
        let mut entries = Entries::from([
            (SubscriptionKey::Metrics, named),
            (SubscriptionKey::Interval, vec![interval_ms.to_string()]),
        ]);
        let matches: Vec<_> = matches.into_iter().map(|(key, pattern)| format!("{key}={pattern}")).collect();
        if !matches.is_empty() {
            entries.insert(SubscriptionKey::Match, matches);
        }
        entries
    }
}

fn from_files(floor: BTreeMap<Arc<str>, Entries>, ignored: &[(String, Value)]) -> SubscriptionMap {
    if !ignored.is_empty() {
        let names: Vec<_> = ignored.iter().map(|(name, _)| format!("`{name}`")).collect();
        tracing::warn!(
            "altered subscriptions in the store are ignored, since `fleet` is set: {}; write them into the \
             configuration files",
            names.join(", ")
        );
    }
    floor.into_iter().map(|(name, file)| (name.clone(), load_subscription(&name, file, Ok(Entries::new())))).collect()
}

fn from_files_and_store(mut floor: BTreeMap<Arc<str>, Entries>, records: Vec<(String, Value)>) -> SubscriptionMap {
    let mut book = SubscriptionMap::new();
    for (name, record) in records {
        let name = Arc::<str>::from(name);
        let file = floor.remove(&name).unwrap_or_default();
        book.insert(name.clone(), load_subscription(&name, file, SubscriptionDocument::read(record)));
    }
    book.extend(from_files(floor, &[]));
    book
}

/// One subscription, which is disabled with a warning if it is invalid.
fn load_subscription(
    name: &Arc<str>,
    file: Entries,
    stored: Result<Entries, UnreadableDocument>,
) -> Arc<EffectiveSubscription> {
    let (problem, unreadable, file, stored) = match stored {
        Err(UnreadableDocument::Later) => ("it was written by a later release".into(), true, file, Entries::new()),
        Err(UnreadableDocument::Damaged(why)) => match load_damaged(name, file.clone(), &why) {
            Ok(held) => return Arc::new(held),
            Err(refused) => (refused.to_string(), false, file, Entries::new()),
        },
        Ok(stored) => match EffectiveSubscription::new(name, file.clone(), stored.clone()) {
            Ok(held) => return Arc::new(held),
            Err(refused) => (refused.to_string(), false, file, stored),
        },
    };
    tracing::warn!(
        "subscription `{name}` is disabled, and its stored entries are kept: {problem}; alter it or delete its keys"
    );
    Arc::new(EffectiveSubscription { unreadable, ..EffectiveSubscription::disabled(name, file, stored, problem) })
}

fn load_damaged(name: &Arc<str>, file: Entries, why: &str) -> Result<EffectiveSubscription, AlterError> {
    let problem = format!(
        "its stored alterations cannot be read ({why}), so only its entry in the configuration file, if any, is \
         in effect; alter it again or delete it"
    );
    tracing::warn!("subscription `{name}`: {problem}");
    EffectiveSubscription::with_damaged_record(name, file, problem)
}
