//! The store's file: opening or creating it, checking its format, and reporting what is wrong with it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::database::{DatabaseOpener, ReopeningDatabase};
use super::{RECORDS, state};

/// Name of the file in the data directory.
const FILE_NAME: &str = "barnabas.redb";
/// `version` → the format version of all other tables in the file.
pub(super) const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
/// The format version that this release writes, which is also the newest that it reads.
pub(super) const SUPPORTED_FORMAT: u64 = 1;
/// Size of redb's page cache; its own default is one gigabyte. The stored data is small and the operating system caches
/// the file's pages, so a larger cache would only fill with pages that are not read again.
const CACHE_BYTES: usize = 2 << 20;

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// A newer release wrote the file. It was not modified.
    #[error(
        "{}: was written by a newer release (format {found}, this release supports up to {supported}); start that \
         release, or name another data directory", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u64,
        /// The newest format version that this release supports.
        supported: u64,
    },
    /// Another host has the file open.
    #[error(
        "{path}: another host uses this data directory; stop it, or give each host its own `data-dir`",
        path = .0.display()
    )]
    Locked(PathBuf),
    /// The file is not a store, or is damaged.
    #[error(
        "{path}: the store is damaged ({1}); restore a backup, or move the file away to start with an empty store",
        path = .0.display()
    )]
    Damaged(PathBuf, String),
    /// An I/O error: missing permission, full or read-only disk, or a path that is not a directory.
    #[error(
        "{path}: cannot open the store: {1}; make its directory writable for this user and free disk space, set \
         another `data-dir`, or keep everything in memory on purpose with `barnabas serve --ephemeral`",
        path = .0.display()
    )]
    Io(PathBuf, #[source] io::Error),
}

/// Opens or creates the file in this directory.
pub(super) fn open(data_dir: &Path) -> Result<ReopeningDatabase, StoreOpenError> {
    let path = data_dir.join(FILE_NAME);
    let fail = |error| StoreOpenError::Io(path.clone(), error);
    fs::create_dir_all(data_dir).map_err(|error| fail(not_a_directory(data_dir).unwrap_or(error)))?;
    let exists = fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    if exists {
        check_format(&path)?;
    }
    let file = path.clone();
    let base = open_with(&path, Box::new(move || open_file(&file)))?;
    if !exists {
        // Sync the directory, or a power failure could remove the new file's name.
        File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(fail)?;
    }
    Ok(base)
}

/// A clearer error if the path is something other than a directory: the system reports only that it exists.
fn not_a_directory(path: &Path) -> Option<io::Error> {
    let found = fs::metadata(path).ok().filter(|found| !found.is_dir())?;
    let message = format!("{} is not a directory, but {}", path.display(), describe_file_type(&found));
    Some(io::Error::new(io::ErrorKind::NotADirectory, message))
}

fn describe_file_type(found: &fs::Metadata) -> &'static str {
    if found.is_file() { "a file" } else { "a device, a pipe or a socket" }
}

/// Opens the database for the first time with `source`.
pub(super) fn open_with(path: &Path, source: DatabaseOpener) -> Result<ReopeningDatabase, StoreOpenError> {
    let mut found = None;
    catch_damage(path, || {
        let mut database = source()?;
        // Reads every page, so that a file that was altered is refused here and not trusted later.
        database.check_integrity().map_err(redb::Error::from)?;
        if is_new(&database)? {
            initialise(&database)?;
        }
        found = Some((state::read_all_counters(&database)?, database));
        Ok(())
    })?;
    Ok(ReopeningDatabase::new(path.to_owned(), source, found))
}

/// A database in memory, created at the first operation.
pub(super) fn in_memory() -> ReopeningDatabase {
    let source = || {
        let database = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(InMemoryBackend::new())?;
        initialise(&database).map(|()| database)
    };
    ReopeningDatabase::new("memory".into(), Box::new(source), None)
}

fn open_file(path: &Path) -> Result<Database, redb::Error> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != 0o600 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(FileBackend::new(file)?)?)
}

#[derive(Debug)]
enum InspectError {
    Engine(redb::Error),
    Newer(u64),
    Foreign(&'static str),
}

impl From<redb::Error> for InspectError {
    fn from(error: redb::Error) -> Self {
        Self::Engine(error)
    }
}

/// Checks the format version without writing to the file. This is not possible for a file that was not closed cleanly;
/// opening repairs such a file, and its format is checked then.
fn check_format(path: &Path) -> Result<(), StoreOpenError> {
    catch_damage(path, || match Builder::new().set_cache_size(CACHE_BYTES).open_read_only(path) {
        Err(DatabaseError::RepairAborted) => Ok(()),
        Err(error) => Err(redb::Error::from(error).into()),
        Ok(database) => is_new(&database).map(|_| ()),
    })
}

/// Whether the database is empty. A database that is not empty must have a supported format.
fn is_new(database: &impl ReadableDatabase) -> Result<bool, InspectError> {
    let (tables, version) = read_format(database)?;
    match version {
        None if tables == 0 => Ok(true),
        // Once there is a second format, the migration from the first belongs here.
        Some(SUPPORTED_FORMAT) => Ok(false),
        Some(newer) if newer > SUPPORTED_FORMAT => Err(InspectError::Newer(newer)),
        _ => Err(InspectError::Foreign("it does not contain a known format version")),
    }
}

/// Returns the number of tables and the format version, if there is one.
fn read_format(database: &impl ReadableDatabase) -> Result<(usize, Option<u64>), redb::Error> {
    let read = database.begin_read()?;
    let tables = read.list_tables()?.count();
    match read.open_table(FORMAT) {
        Err(redb::TableError::TableDoesNotExist(_)) => Ok((tables, None)),
        table => Ok((tables, table?.get("version")?.map(|found| found.value()))),
    }
}

fn initialise(database: &Database) -> Result<(), redb::Error> {
    let change = database.begin_write()?;
    change.open_table(FORMAT)?.insert("version", SUPPORTED_FORMAT)?;
    change.open_table(RECORDS)?;
    state::make_tables(&change)?;
    change.commit()?;
    Ok(())
}

/// redb panics on some kinds of damage; such a panic is reported as damage.
fn catch_damage(path: &Path, act: impl FnOnce() -> Result<(), InspectError>) -> Result<(), StoreOpenError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|trouble| to_open_error(path, trouble)),
        Err(_) => Err(StoreOpenError::Damaged(path.to_owned(), "its pages are inconsistent".into())),
    }
}

fn to_open_error(path: &Path, trouble: InspectError) -> StoreOpenError {
    let path = path.to_owned();
    match trouble {
        InspectError::Newer(found) => StoreOpenError::Newer { path, found, supported: SUPPORTED_FORMAT },
        InspectError::Foreign(words) => StoreOpenError::Damaged(path, words.into()),
        InspectError::Engine(redb::Error::DatabaseAlreadyOpen) => StoreOpenError::Locked(path),
        InspectError::Engine(redb::Error::Io(error)) if !is_truncated(&error) => StoreOpenError::Io(path, error),
        InspectError::Engine(error) => StoreOpenError::Damaged(path, error.to_string()),
    }
}

/// Whether the error means that the file ends too early: then the file is damaged, and the disk works.
fn is_truncated(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}
