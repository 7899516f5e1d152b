//! The book of subscriptions: what the configuration file says, and what was altered over the wire.
//!
//! In: the file's subscriptions, the store's, and alterations by Kafka's own messages (KIP-714, "Client metrics
//! configuration"). Out: the rules of admission, from the next request of each client on; and every entry with where it
//! comes from. What was altered wins key by key over the file's entry of the same name, and is on the disk before it
//! takes effect. Bounded in subscriptions, in bytes of a name, of an entry and of all text, in compiled patterns and in
//! prefixes. Never drops what it cannot read: that is kept, shown, and left out. Alterations block, one at a time, and who
//! waits for a turn waits so long and no longer.

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

/// The kind of document in the store.
const KIND: &str = "subscriptions";
/// Most bytes of a name.
const NAME_BYTES: usize = 249;
/// Most bytes of a stranger's text that an answer repeats.
const EXCERPT_BYTES: usize = 200;
/// How long to wait for others' alterations: Kafka's commands give up after 30 s.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);

/// By name.
type SubscriptionMap = BTreeMap<Arc<str>, Arc<EffectiveSubscription>>;

/// A handle on the book. Cheap to clone.
#[derive(Clone)]
pub struct Subscriptions(Arc<SubscriptionsInner>);

struct SubscriptionsInner {
    store: Store,
    audit: AuditLog,
    admission: Arc<Admission>,
    /// All of admission but the rules, which are the book's.
    settings: admission::AdmissionConfig,
    /// The files are all that counts.
    fleet: bool,
    current: Mutex<Arc<SubscriptionMap>>,
    /// Held over an alteration: each sees what the one before it did.
    turn: Mutex<()>,
    /// Who waits for a turn waits here, and takes no thread while waiting.
    queue: Arc<tokio::sync::Mutex<()>>,
}

/// Who says a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// It was altered over the wire: Kafka's DYNAMIC_CLIENT_METRICS_CONFIG.
    Dynamic,
    /// The configuration file: Kafka's STATIC_BROKER_CONFIG.
    File,
    /// Nobody: Kafka's DEFAULT_CONFIG.
    Default,
}

/// One key of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedEntry {
    /// Which.
    pub key: SubscriptionKey,
    /// Everybody who says a value, and the value as text; the first counts, and the last is the default.
    pub synonyms: Vec<(ValueSource, String)>,
}

/// A subscription, for somebody who looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedSubscription {
    /// What it is called.
    pub name: Arc<str>,
    /// In the order of [`Key::ALL`].
    pub entries: [DescribedEntry; 3],
    /// Why it is left out, where it makes no sense to this release.
    pub problem: Option<String>,
}

/// What came of an alteration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterOutcome {
    /// For whoever asked: which clients learn of it and by when, or why nothing changed and which match.
    pub message: Option<String>,
    /// Whether anything was written down. Never where it was only validated.
    pub changed: bool,
    /// What became of which key: `metrics is …; interval.ms deleted …`. Empty where nothing changes.
    pub difference: String,
}

/// Why nothing was altered: a closed list that a door translates into its protocol's words. Each is one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// No name, no such key, a key named twice, an interval that is none (Kafka's INVALID_REQUEST).
    #[error("{0}")]
    Request(String),
    /// A value that makes no sense (INVALID_CONFIG).
    #[error("{0}")]
    Config(String),
    /// This host's files decide, or the book is full (POLICY_VIOLATION).
    #[error("{0}")]
    Policy(String),
    /// Others alter, and their turn takes too long; the same may be asked again (REQUEST_TIMED_OUT).
    #[error("{0}")]
    Busy(String),
    /// We broke; nothing was changed.
    #[error("{0}")]
    Internal(String),
}

/// One subscription to alter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// Its name.
    pub name: String,
    /// What to do, each key once.
    pub ops: Vec<EntryOp>,
}

impl DescribedEntry {
    /// What counts, as text.
    pub fn value(&self) -> &str {
        self.synonyms.first().map_or(self.key.default_text(), |(_, text)| text)
    }

    /// Who says so.
    pub fn source(&self) -> ValueSource {
        self.synonyms.first().map_or(ValueSource::Default, |(source, _)| *source)
    }
}

impl DescribedSubscription {
    /// Of a name that nobody speaks of: the three defaults, as Kafka has it since 4.0 (KAFKA-17516).
    pub fn defaults(name: &str) -> Self {
        Self::from_entries(&name.into(), &Entries::new(), &Entries::new())
    }
}

impl Subscriptions {
    /// The names, in order.
    pub fn list(&self) -> Vec<Arc<str>> {
        self.snapshot().keys().cloned().collect()
    }

    /// What is said about one of them, by whom; `None` where there is none of that name.
    pub fn describe(&self, name: &str) -> Option<Arc<DescribedSubscription>> {
        self.snapshot().get(name).map(|held| held.described.clone())
    }

    /// Whether nothing can be altered over the wire here.
    pub fn is_fleet(&self) -> bool {
        self.0.fleet
    }

    /// Alters one subscription: on the disk first, then in effect. Blocks. With `validate_only` it only says what would
    /// come of it.
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
            return Err(AlterError::Policy(format!("`{name}` was written by a later release; start that one")));
        }
        let stored = op::apply(old, ops)?;
        // What is damaged is to be replaced, or removed, also by nothing.
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
            // Else every client would begin anew, for nothing.
            if !old.is_equivalent(&new) {
                self.0.admission.reconfigure(wanted);
            }
            *lock(&self.0.current) = Arc::new(after);
        }
        Ok(AlterOutcome { message: Some(message), changed: !request.validate_only, difference })
    }

    fn may_alter(&self, name: &str) -> Result<(), AlterError> {
        if self.0.fleet {
            let words = "this host is one of a fleet whose subscriptions come from its files; change them there and \
                         restart";
            return Err(AlterError::Policy(words.into()));
        }
        let refuse = |why: String| Err(AlterError::Request(why));
        if name.is_empty() {
            return refuse("the resource has no name; name the subscription".into());
        }
        if name.len() > NAME_BYTES {
            return refuse(format!("the name has {} bytes; it may have {NAME_BYTES}", name.len()));
        }
        if name.chars().any(char::is_control) {
            return refuse("the name holds a control character; take it out".into());
        }
        Ok(())
    }

    /// Writes down what was altered, or forgets that anything was.
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

/// What is left once nothing is said is nothing.
fn merged(name: &Arc<str>, file: Entries, stored: Entries) -> Result<EffectiveSubscription, AlterError> {
    if file.is_empty() && stored.is_empty() {
        Ok(EffectiveSubscription::empty())
    } else {
        EffectiveSubscription::new(name, file, stored)
    }
}

/// The beginning of a stranger's text, for words.
fn excerpt(text: &str) -> &str {
    text.get(..text.floor_char_boundary(EXCERPT_BYTES)).unwrap_or(text)
}

/// Nothing here is left half done by a panic that could be caught.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
