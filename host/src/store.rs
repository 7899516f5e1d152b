//! The embedded store: what the host must remember over a restart.
//!
//! In: records of the host's own (JSON by kind and name) and the state of slots. Out: the same, after a restart and
//! after a kill at any moment: whatever writes returns when its change is on the disk. One file, `barnabas.redb`, with
//! a format version in it; one thread that writes, which commits everything that waits in one transaction. Bounded in
//! waiting changes, and each in bytes. Every call blocks, so it belongs on a thread that may. Never keeps telemetry.

mod database;
mod file;
mod state;
mod writer;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use redb::{ReadableDatabase as _, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use database::ReopeningDatabase;
use writer::StoreWriter;

pub use file::StoreOpenError;
pub(crate) use state::{MAX_KEYS_PER_LIST, Precondition, StateEntry, StateStoreError, check_change, check_key};
pub use state::{StateQuota, StateUsage};

/// Kind and name → JSON.
const RECORDS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("records");
/// Most bytes of one record, as JSON.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// A handle on the store. Cheap to clone. The file is closed, and can be opened again, when the last handle is gone.
#[derive(Clone)]
pub struct Store {
    // Before the base: when the last handle goes, the writer ends first and the file is closed after it.
    writer: Arc<StoreWriter>,
    database: Arc<ReopeningDatabase>,
}

impl Store {
    /// Opens `barnabas.redb` in this directory, and makes what is missing. Blocks: it reads the whole file, so that
    /// damage is found now and said in words.
    pub fn open(data_dir: &Path) -> Result<Self, StoreOpenError> {
        let base = Arc::new(file::open(data_dir)?);
        Ok(Self { writer: Arc::new(StoreWriter::new(base.clone())), database: base })
    }

    /// One that forgets everything when its last handle is gone.
    pub fn in_memory() -> Self {
        let base = Arc::new(file::in_memory());
        Self { writer: Arc::new(StoreWriter::new(base.clone())), database: base }
    }

    /// The record of this kind and name.
    pub fn record<T: DeserializeOwned>(&self, kind: &str, name: &str) -> anyhow::Result<Option<T>> {
        let json = self.database.run(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            Ok(table.get((kind, name))?.map(|found| found.value().to_vec()))
        })?;
        json.map(|json| parse_record(kind, name, &json)).transpose()
    }

    /// Every record of this kind, by name.
    pub fn records<T: DeserializeOwned>(&self, kind: &str) -> anyhow::Result<Vec<(String, T)>> {
        let found = self.database.run(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let mut found = Vec::new();
            for pair in table.range((kind, "")..)? {
                let (key, json) = pair?;
                let (of, name) = key.value();
                if of != kind {
                    break;
                }
                found.push((name.to_owned(), json.value().to_vec()));
            }
            Ok(found)
        })?;
        found.into_iter().map(|(name, json)| parse_record(kind, &name, &json).map(|value| (name, value))).collect()
    }

    /// Puts a record in the place of whatever was there. On the disk when it returns; an error changes nothing.
    pub fn put_record<T: Serialize>(&self, kind: &str, name: &str, value: &T) -> anyhow::Result<()> {
        let json = serde_json::to_vec(value).with_context(|| format!("the record {kind}/{name} is not JSON"))?;
        let size = json.len();
        ensure!(size <= MAX_RECORD_BYTES, "the record {kind}/{name} has {size} bytes; it may have {MAX_RECORD_BYTES}");
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.writer.write(move |change| {
            change.open_table(RECORDS)?.insert((kind.as_str(), name.as_str()), json.as_slice())?;
            Ok(())
        })
    }

    /// Removes a record, if it is there. Gone from the disk when it returns.
    pub fn remove_record(&self, kind: &str, name: &str) -> anyhow::Result<()> {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.writer.write(move |change| {
            change.open_table(RECORDS)?.remove((kind.as_str(), name.as_str()))?;
            Ok(())
        })
    }
}

fn parse_record<T: DeserializeOwned>(kind: &str, name: &str, json: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(json).with_context(|| {
        format!("the record {kind}/{name} of the store is not what this release reads; start the release that wrote it")
    })
}

#[cfg(test)]
mod tests;
