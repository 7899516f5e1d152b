//! Books for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Config, Entries, Op, OpKind, Opening, Subscriptions};
use crate::admission::{self, Admission};
use crate::audit::Audit;
use crate::store::Store;

/// All that a book is made of, to be changed before it is opened.
pub(crate) fn opening(admission: &Arc<Admission>) -> Opening {
    Opening {
        config: Config::default(),
        store: Store::in_memory(),
        audit: Audit::nowhere(),
        admission: admission.clone(),
        settings: admission::AdmissionConfig::default(),
    }
}

/// An empty one, and what it writes into.
pub(crate) fn book() -> (Subscriptions, Arc<Admission>) {
    let admission = Arc::new(Admission::new(admission::AdmissionConfig::default()));
    (Subscriptions::open(opening(&admission)).expect("a store in memory opens"), admission)
}

/// What a file says.
pub(crate) fn floor(name: &str, metrics: &[&str], interval: u64, matches: &[(&str, &str)]) -> Config {
    let metrics: Vec<String> = metrics.iter().map(ToString::to_string).collect();
    let matches: BTreeMap<String, String> = matches.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
    let entries: Entries = Config::entries(&metrics, interval, &matches);
    Config { fleet: false, floor: BTreeMap::from([(name.into(), entries)]) }
}

pub(crate) fn set(key: &str, value: &str) -> Op {
    Op { key: key.into(), kind: OpKind::Set, value: Some(value.into()) }
}

pub(crate) fn delete(key: &str) -> Op {
    Op { key: key.into(), kind: OpKind::Delete, value: None }
}
