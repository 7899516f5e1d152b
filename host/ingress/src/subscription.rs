//! Subscriptions: those of the configuration file, and their alterations by request.
//!
//! In: the file's subscriptions, the store's, and alterations by Kafka's own requests (KIP-714, "Client metrics
//! configuration"). Out: the rules of admission, which apply from each client's next request on; and every entry with
//! its source. An altered key overrides the key in the file's entry of the same name, and is on disk before it takes
//! effect. Bounded in subscriptions, in bytes of a name, of an entry and of all text, in compiled patterns and in
//! prefixes. Never drops what it cannot read: that is kept, described, and disabled. Alterations block and run one at a
//! time; the wait for a turn is limited.

mod alter_request;
mod bounds;
mod effective;
mod key;
mod messages;
mod op;
mod setup;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alter_request::AlterRequest;
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::Admission;
use barnabas_storage::audit::AuditLog;
use barnabas_storage::store::Store;
use effective::EffectiveSubscription;

pub use key::{Entries, SubscriptionKey};
pub use op::{EntryOp, EntryOpKind};
pub use setup::{SubscriptionsConfig, SubscriptionsSetup};

/// The kind of the store's documents.
const KIND: &str = "subscriptions";
/// The most bytes of a name.
const NAME_BYTES: usize = 249;
/// The most bytes of a client's text that a message repeats.
const EXCERPT_BYTES: usize = 200;
/// How long to wait for other alterations: Kafka's tools time out after 30 s.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);

/// The subscriptions by name.
type SubscriptionMap = BTreeMap<Arc<str>, Arc<EffectiveSubscription>>;

/// A handle on the subscriptions. Cheap to clone.
#[derive(Clone)]
pub struct Subscriptions(Arc<SubscriptionsInner>);

struct SubscriptionsInner {
    store: Store,
    audit: AuditLog,
    admission: Arc<Admission>,
    /// The configuration of admission without the rules, which come from the subscriptions.
    settings: admission::AdmissionConfig,
    /// Only the files count.
    fleet: bool,
    current: Mutex<Arc<SubscriptionMap>>,
    /// Locked during an alteration, so that each sees the result of the previous one.
    turn: Mutex<()>,
    /// Waiting for a turn happens here, without occupying a thread.
    queue: Arc<tokio::sync::Mutex<()>>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// An alteration by request: Kafka's DYNAMIC_CLIENT_METRICS_CONFIG.
    Dynamic,
    /// The configuration file: Kafka's STATIC_BROKER_CONFIG.
    File,
    /// Kafka's DEFAULT_CONFIG.
    Default,
}

/// One key of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedEntry {
    /// The key.
    pub key: SubscriptionKey,
    /// Every source of a value, and the value as text; the first is effective, and the last is the default.
    pub synonyms: Vec<(ValueSource, String)>,
}

/// The description of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedSubscription {
    /// Its name.
    pub name: Arc<str>,
    /// In the order of [`SubscriptionKey::ALL`].
    pub entries: [DescribedEntry; 3],
    /// Why it is disabled, if it is not valid in this release.
    pub problem: Option<String>,
}

/// The result of an alteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterOutcome {
    /// For the caller: which clients get it and by when, or why nothing changed and which clients match.
    pub message: Option<String>,
    /// Whether anything was stored. Never true if it was only validated.
    pub changed: bool,
    /// The difference of each key: `metrics is …; interval.ms deleted …`. Empty if nothing changes.
    pub difference: String,
}

/// Why nothing was altered: a closed list that a listener maps to its protocol's error codes. Each is one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// No name, an unknown key, a key that occurs twice, an invalid interval (Kafka's INVALID_REQUEST).
    #[error("{0}")]
    Request(String),
    /// An invalid value (INVALID_CONFIG).
    #[error("{0}")]
    Config(String),
    /// Only this host's files count, or a limit is reached (POLICY_VIOLATION).
    #[error("{0}")]
    Policy(String),
    /// Other alterations take too long; the request may be repeated (REQUEST_TIMED_OUT).
    #[error("{0}")]
    Busy(String),
    /// An internal error; nothing was changed.
    #[error("{0}")]
    Internal(String),
}

/// The alteration of one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// Its name.
    pub name: String,
    /// The operations, at most one for each key.
    pub ops: Vec<EntryOp>,
}

impl DescribedEntry {
    /// The effective value, as text.
    pub fn value(&self) -> &str {
        self.synonyms.first().map_or(self.key.default_text(), |(_, text)| text)
    }

    /// The source of the effective value.
    pub fn source(&self) -> ValueSource {
        self.synonyms.first().map_or(ValueSource::Default, |(source, _)| *source)
    }
}

impl DescribedSubscription {
    /// The description of a name without a subscription: the three defaults, as in Kafka since 4.0 (KAFKA-17516).
    pub fn defaults(name: &str) -> Self {
        Self::from_entries(&name.into(), &Entries::new(), &Entries::new())
    }
}

impl Subscriptions {
    /// The names, in order.
    pub fn list(&self) -> Vec<Arc<str>> {
        self.snapshot().keys().cloned().collect()
    }

    /// The description of a subscription; `None` if there is none with this name.
    pub fn describe(&self, name: &str) -> Option<Arc<DescribedSubscription>> {
        self.snapshot().get(name).map(|held| held.described.clone())
    }

    /// Whether alterations by request are disabled here.
    pub fn is_fleet(&self) -> bool {
        self.0.fleet
    }

    /// Alters one subscription: on disk first, then in effect. Blocks. With `validate_only` it only determines the
    /// result.
    pub fn alter(&self, name: &str, ops: &[EntryOp], validate_only: bool) -> Result<AlterOutcome, AlterError> {
        self.alter_in_request(name, ops, &AlterRequest::new(1, validate_only))
    }

    fn alter_in_request(
        &self,
        name: &str,
        ops: &[EntryOp],
        request: &AlterRequest,
    ) -> Result<AlterOutcome, AlterError> {
        self.may_alter(name)?;
        let _turn = lock(&self.0.turn);
        let (before, none) = (self.snapshot(), Arc::new(EffectiveSubscription::empty()));
        let old = before.get(name).unwrap_or(&none);
        if old.unreadable {
            return Err(AlterError::Policy(format!("`{name}` was written by a later release; start that release")));
        }
        let stored = op::apply(old, ops)?;
        // A damaged document is to be replaced, or removed, even if the new entries are empty.
        if stored == old.stored && !old.damaged {
            let forecast =
                request.with_forecast.then(|| self.0.admission.forecast(&self.admission_config(&before), name));
            let words = Some(messages::unchanged(old, ops, forecast.as_ref()));
            return Ok(AlterOutcome { message: words, changed: false, difference: String::new() });
        }
        let (name, mut after) = (Arc::<str>::from(name), SubscriptionMap::clone(&before));
        let new = Arc::new(request.compile_within_limit(|| merged(&name, old.file.clone(), stored))?);
        if new.exists() {
            after.insert(name.clone(), new.clone());
        } else {
            after.remove(&name);
        }
        bounds::check(&before, &after).map_err(AlterError::Policy)?;
        let wanted = self.admission_config(&after);
        let forecast = request.with_forecast.then(|| self.0.admission.forecast(&wanted, &name));
        let message = messages::changed(old, &new, ops, forecast.as_ref(), request, self.0.settings.long_intervals);
        let difference = messages::difference(old, &new);
        if !request.validate_only {
            self.persist(&name, &new.stored)?;
            // Otherwise every client would need a new subscription for no reason.
            if !old.is_equivalent(&new) {
                self.0.admission.reconfigure(wanted);
            }
            *lock(&self.0.current) = Arc::new(after);
        }
        Ok(AlterOutcome { message: Some(message), changed: !request.validate_only, difference })
    }

    fn may_alter(&self, name: &str) -> Result<(), AlterError> {
        if self.0.fleet {
            let words = "`fleet` is set on this host, so its subscriptions come from the configuration file; change them there and \
                         restart";
            return Err(AlterError::Policy(words.into()));
        }
        let refuse = |why: String| Err(AlterError::Request(why));
        if name.is_empty() {
            return refuse("the resource has no name; write the subscription's name".into());
        }
        if name.len() > NAME_BYTES {
            return refuse(format!("the name has {} bytes; the maximum is {NAME_BYTES}", name.len()));
        }
        if name.chars().any(char::is_control) {
            return refuse("the name contains a control character; remove it".into());
        }
        Ok(())
    }

    /// Stores the altered entries, or removes them if there are none.
    fn persist(&self, name: &str, stored: &Entries) -> Result<(), AlterError> {
        let store = &self.0.store;
        let kept = if stored.is_empty() {
            store.remove_record(KIND, name)
        } else {
            store.put_record(KIND, name, &setup::SubscriptionDocument::new(stored))
        };
        kept.map_err(|error| AlterError::Internal(format!("{error:#}")))
    }

    fn admission_config(&self, book: &SubscriptionMap) -> admission::AdmissionConfig {
        let subscriptions = book.values().filter_map(|held| held.rule.clone()).collect();
        admission::AdmissionConfig { subscriptions, ..self.0.settings.clone() }
    }

    fn snapshot(&self) -> Arc<SubscriptionMap> {
        lock(&self.0.current).clone()
    }
}

/// A subscription without any entry does not exist.
fn merged(name: &Arc<str>, file: Entries, stored: Entries) -> Result<EffectiveSubscription, AlterError> {
    if file.is_empty() && stored.is_empty() {
        Ok(EffectiveSubscription::empty())
    } else {
        EffectiveSubscription::new(name, file, stored)
    }
}

/// The beginning of a client's text, for messages.
fn excerpt(text: &str) -> &str {
    text.get(..text.floor_char_boundary(EXCERPT_BYTES)).unwrap_or(text)
}

/// A panic leaves nothing half done here, so a poisoned lock can be used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
