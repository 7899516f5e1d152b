//! Subscriptions for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Entries, EntryOp, EntryOpKind, Subscriptions, SubscriptionsConfig, SubscriptionsSetup};
use barnabas_pipeline::admission;
use barnabas_pipeline::admission::Admission;
use barnabas_storage::audit::AuditLog;
use barnabas_storage::store::Store;

/// Everything needed to load subscriptions, to be modified before.
pub fn setup(admission: &Arc<Admission>) -> SubscriptionsSetup {
    SubscriptionsSetup {
        config: SubscriptionsConfig::default(),
        store: Store::in_memory(),
        audit: AuditLog::disabled(),
        admission: admission.clone(),
        settings: admission::AdmissionConfig::default(),
    }
}

/// Empty subscriptions, and the admission that they configure.
pub fn subscriptions() -> (Subscriptions, Arc<Admission>) {
    let admission = Arc::new(Admission::new(admission::AdmissionConfig::default()));
    (Subscriptions::open(setup(&admission)).expect("a store in memory opens"), admission)
}

/// The subscriptions of a configuration file.
pub fn file_config(name: &str, metrics: &[&str], interval: u64, matches: &[(&str, &str)]) -> SubscriptionsConfig {
    let metrics: Vec<String> = metrics.iter().map(ToString::to_string).collect();
    let matches: BTreeMap<String, String> = matches.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
    let entries: Entries = SubscriptionsConfig::entries(&metrics, interval, &matches);
    SubscriptionsConfig { fleet: false, from_file: BTreeMap::from([(name.into(), entries)]) }
}

/// Sets a key.
pub fn set(key: &str, value: &str) -> EntryOp {
    EntryOp { key: key.into(), kind: EntryOpKind::Set, value: Some(value.into()) }
}

/// Deletes a key.
pub fn delete(key: &str) -> EntryOp {
    EntryOp { key: key.into(), kind: EntryOpKind::Delete, value: None }
}
