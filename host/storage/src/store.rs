//! The embedded store: everything that the host must remember across a restart.
//!
//! In: the host's own records (JSON by kind and name) and the receivers' state by slot. Out: the same, also after a
//! restart or a kill at any moment: a write returns only when it is on the disk. The store is one file,
//! `barnabas.redb`, which carries a format version; one thread writes and commits all waiting writes in one
//! transaction. Bounded in the number of waiting writes and in the bytes of each. Every call blocks, so callers use a
//! thread that may block. Never stores telemetry.

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
pub use state::{MAX_KEYS_PER_LIST, Precondition, StateEntry, StateStoreError, check_change, check_key};
pub use state::{StateQuota, StateUsage};

/// Kind and name → JSON.
const RECORDS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("records");
/// Maximum size of one record as JSON, in bytes.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// A handle to the store. Cheap to clone. The file is closed, and can be opened again, when the last handle is dropped.
#[derive(Clone)]
pub struct Store {
    // Declared before the database: when the last handle is dropped, the writer must end before the file is closed.
    writer: Arc<StoreWriter>,
    database: Arc<ReopeningDatabase>,
}

impl Store {
    /// Opens `barnabas.redb` in this directory, creating directory and file if they are missing. Reads the whole file,
    /// so that damage is found at start and reported with a remedy.
    pub fn open(data_dir: &Path) -> Result<Self, StoreOpenError> {
        let base = Arc::new(file::open(data_dir)?);
        Ok(Self { writer: Arc::new(StoreWriter::new(base.clone())), database: base })
    }

    /// A store in memory, whose contents are lost when the last handle is dropped.
    pub fn in_memory() -> Self {
        let base = Arc::new(file::in_memory());
        Self { writer: Arc::new(StoreWriter::new(base.clone())), database: base }
    }

    /// Returns the record of this kind and name.
    pub fn record<T: DeserializeOwned>(&self, kind: &str, name: &str) -> anyhow::Result<Option<T>> {
        let json = self.database.run(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            Ok(table.get((kind, name))?.map(|found| found.value().to_vec()))
        })?;
        json.map(|json| parse_record(kind, name, &json)).transpose()
    }

    /// Returns every record of this kind with its name.
    pub fn records<T: DeserializeOwned>(&self, kind: &str) -> anyhow::Result<Vec<(String, T)>> {
        let found = self.database.run(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let mut found = Vec::new();
            for pair in table.range((kind, "")..)? {
                let (key, json) = pair?;
                let (found_kind, name) = key.value();
                if found_kind != kind {
                    break;
                }
                found.push((name.to_owned(), json.value().to_vec()));
            }
            Ok(found)
        })?;
        found.into_iter().map(|(name, json)| parse_record(kind, &name, &json).map(|value| (name, value))).collect()
    }

    /// Stores a record, replacing any earlier one. It is on the disk when this returns; an error changes nothing.
    pub fn put_record<T: Serialize>(&self, kind: &str, name: &str, value: &T) -> anyhow::Result<()> {
        let json = serde_json::to_vec(value).with_context(|| format!("the record {kind}/{name} is not JSON"))?;
        let size = json.len();
        ensure!(size <= MAX_RECORD_BYTES, "the record {kind}/{name} has {size} bytes; the limit is {MAX_RECORD_BYTES}");
        let (kind, name) = (kind.to_owned(), name.to_owned());
        self.writer.write(move |change| {
            change.open_table(RECORDS)?.insert((kind.as_str(), name.as_str()), json.as_slice())?;
            Ok(())
        })
    }

    /// Removes a record if it exists. It is gone from the disk when this returns.
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
        format!("this release cannot read the record {kind}/{name} of the store; start the release that wrote it")
    })
}

#[cfg(test)]
mod tests;
