//! The database beneath: opened, and opened again after its file failed.
//!
//! A database whose file failed once (a full disk) refuses everything from then on, although what it has committed is
//! sound. So it is closed at the first failure and opened again for the next question, until that succeeds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use anyhow::Context as _;
use redb::Database;

use super::state::{self, CountersBySlot, SlotCounters};

/// Makes the database, each time anew.
pub(super) type DatabaseOpener = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

pub(super) struct ReopeningDatabase {
    /// For words.
    path: PathBuf,
    opener: DatabaseOpener,
    database: RwLock<Option<Database>>,
    /// What each slot uses, so that whoever shows it does not touch the disk.
    counters: Mutex<CountersBySlot>,
    /// A failure was said, and nothing has succeeded since.
    failure_logged: AtomicBool,
}

impl ReopeningDatabase {
    /// `found` is what `source` made at first, where it was asked already.
    pub(super) fn new(path: PathBuf, source: DatabaseOpener, opened: Option<(CountersBySlot, Database)>) -> Self {
        let (books, database) = opened.unzip();
        let (books, database) = (Mutex::new(books.unwrap_or_default()), RwLock::new(database));
        Self { path, opener: source, database, counters: books, failure_logged: AtomicBool::new(false) }
    }

    /// Asks or changes the database. The error is in words; it changed nothing.
    pub(super) fn run<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> anyhow::Result<T> {
        self.ensure_open().map_err(|error| self.handle_failure(error))?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let open = database.as_ref().context("the host's store failed a moment ago; ask again")?;
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

    /// Opens it where it is closed.
    fn ensure_open(&self) -> Result<(), redb::Error> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            let fresh = (self.opener)()?;
            // Read again: a commit that failed may have reached the disk all the same.
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
            "{}: the store failed, and nothing was changed: {}; what was committed before is kept",
            self.path.display(),
            describe_cause(&error)
        );
        if !self.failure_logged.swap(true, Ordering::Relaxed) {
            tracing::error!("{message}");
        }
        anyhow::Error::msg(message)
    }

    /// What a slot uses, as of its newest change.
    pub(super) fn counters(&self, slot: &str) -> SlotCounters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).get(slot).copied().unwrap_or_default()
    }

    /// Takes note of what was committed. Threads come by here in any order; the newest stays.
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
            "its disk is full, free some space".to_owned()
        }
        other => other.to_string(),
    }
}
