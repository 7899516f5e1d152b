//! The underlying database, which is reopened after an I/O failure.
//!
//! redb refuses every operation after its file has failed once (for example because the disk was full), although the
//! committed data is intact. So the database is closed at the first failure and reopened for each following operation
//! until that succeeds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use anyhow::Context as _;
use redb::Database;

use super::state::{self, CountersBySlot, SlotCounters};

/// Opens the database; called again after each failure.
pub(super) type DatabaseOpener = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

pub(super) struct ReopeningDatabase {
    /// For messages.
    path: PathBuf,
    opener: DatabaseOpener,
    database: RwLock<Option<Database>>,
    /// The state usage of each slot, so that showing it does not touch the disk.
    counters: Mutex<CountersBySlot>,
    /// Whether a failure was logged and no operation has succeeded since.
    failure_logged: AtomicBool,
}

impl ReopeningDatabase {
    /// `opened` is the result of the first call of `opener`, if it was called already.
    pub(super) fn new(path: PathBuf, source: DatabaseOpener, opened: Option<(CountersBySlot, Database)>) -> Self {
        let (books, database) = opened.unzip();
        let (books, database) = (Mutex::new(books.unwrap_or_default()), RwLock::new(database));
        Self { path, opener: source, database, counters: books, failure_logged: AtomicBool::new(false) }
    }

    /// Runs one operation on the database. On an error nothing was changed.
    pub(super) fn run<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> anyhow::Result<T> {
        self.ensure_open().map_err(|error| self.handle_failure(error))?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let open = database.as_ref().context("the host's store has just failed; try again")?;
        let result = act(open);
        drop(database);
        match result {
            Ok(value) => {
                self.failure_logged.store(false, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => Err(self.handle_failure(error)),
        }
    }

    /// Opens the database if it is closed.
    fn ensure_open(&self) -> Result<(), redb::Error> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            let fresh = (self.opener)()?;
            // Read again: a commit that failed may nevertheless have reached the disk.
            *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = state::read_all_counters(&fresh)?;
            *database = Some(fresh);
        }
        Ok(())
    }

    fn handle_failure(&self, error: redb::Error) -> anyhow::Error {
        if matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed) {
            self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        let message = format!(
            "{}: the store failed, nothing was changed: {}; earlier commits are intact",
            self.path.display(),
            describe_cause(&error)
        );
        if !self.failure_logged.swap(true, Ordering::Relaxed) {
            tracing::error!("{message}");
        }
        anyhow::Error::msg(message)
    }

    /// Returns the counters of a slot after its newest write.
    pub(super) fn counters(&self, slot: &str) -> SlotCounters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).get(slot).copied().unwrap_or_default()
    }

    /// Records the counters that were committed. Threads may arrive here in any order; the newest counters win.
    pub(super) fn record_counters(&self, slot: &str, new: SlotCounters) {
        let mut books = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let current = books.entry(slot.into()).or_default();
        if new.last_version > current.last_version {
            *current = new;
        }
    }
}

fn describe_cause(error: &redb::Error) -> String {
    match error {
        redb::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => {
            "the disk is full, free some space".to_owned()
        }
        other => other.to_string(),
    }
}
