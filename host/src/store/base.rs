//! The database beneath: opened, and opened again after its file failed.
//!
//! A database whose file failed once (a full disk) refuses everything from then on, although what it has committed is
//! sound. So it is closed at the first failure and opened again for the next question, until that succeeds.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use anyhow::Context as _;
use redb::Database;

use super::state::{self, AllBooks, Books};

/// Makes the database, each time anew.
pub(super) type Source = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

pub(super) struct Base {
    /// For words.
    path: PathBuf,
    source: Source,
    database: RwLock<Option<Database>>,
    /// What each slot uses, so that whoever shows it does not touch the disk.
    books: Mutex<AllBooks>,
    /// A failure was said, and nothing has succeeded since.
    complained: AtomicBool,
}

impl Base {
    /// `found` is what `source` made at first, where it was asked already.
    pub(super) fn new(path: PathBuf, source: Source, found: Option<(AllBooks, Database)>) -> Self {
        let (books, database) = found.unzip();
        let (books, database) = (Mutex::new(books.unwrap_or_default()), RwLock::new(database));
        Self { path, source, database, books, complained: AtomicBool::new(false) }
    }

    /// Asks or changes the database. The error is in words; it changed nothing.
    pub(super) fn run<T>(&self, act: impl FnOnce(&Database) -> Result<T, redb::Error>) -> anyhow::Result<T> {
        self.opened().map_err(|error| self.failed(error))?;
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let open = database.as_ref().context("the host's store failed a moment ago; ask again")?;
        let result = act(open);
        drop(database);
        match result {
            Ok(value) => {
                self.complained.store(false, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Opens it where it is closed.
    fn opened(&self) -> Result<(), redb::Error> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            let fresh = (self.source)()?;
            // Read again: a commit that failed may have reached the disk all the same.
            *self.books.lock().unwrap_or_else(PoisonError::into_inner) = state::all_books(&fresh)?;
            *database = Some(fresh);
        }
        Ok(())
    }

    fn failed(&self, error: redb::Error) -> anyhow::Error {
        if matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed) {
            self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        let words = format!(
            "{}: the store failed, and nothing was changed: {}; what was committed before is kept",
            self.path.display(),
            cause(&error)
        );
        if !self.complained.swap(true, Ordering::Relaxed) {
            tracing::error!("{words}");
        }
        anyhow::Error::msg(words)
    }

    /// What a slot uses, as of its newest change.
    pub(super) fn books(&self, slot: &str) -> Books {
        self.books.lock().unwrap_or_else(PoisonError::into_inner).get(slot).copied().unwrap_or_default()
    }

    /// Takes note of what was committed. Threads come by here in any order; the newest stays.
    pub(super) fn note(&self, slot: &str, new: Books) {
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        let known = books.entry(slot.into()).or_default();
        if new.last > known.last {
            *known = new;
        }
    }
}

fn cause(error: &redb::Error) -> String {
    match error {
        redb::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => {
            "its disk is full, free some space".to_owned()
        }
        other => other.to_string(),
    }
}
