//! The file: found or made, its format read, and what is wrong with it said in words.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::database::{DatabaseOpener, ReopeningDatabase};
use super::{RECORDS, state};

/// In the data directory.
const FILE_NAME: &str = "barnabas.redb";
/// `version` → the format of everything else in the file.
pub(super) const FORMAT: TableDefinition<'_, &str, u64> = TableDefinition::new("format");
/// The format that this release writes, and the newest that it reads.
pub(super) const SUPPORTED_FORMAT: u64 = 1;
/// Bytes of pages kept in memory; the engine's own default is a gigabyte. What is kept is small, the system keeps files'
/// pages itself, and each commit touches some: the rest would fill with what nobody asks for again.
const CACHE_BYTES: usize = 2 << 20;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// A newer release wrote it. It was not touched.
    #[error(
        "{}: was written by a newer release (format {found}, this one knows up to {supported}); start that release, or \
         name another data directory", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        supported: u64,
    },
    /// Another host has it open.
    #[error("{path}: another host uses this data directory; end it, or give each host a directory of its own", path = .0.display())]
    Locked(PathBuf),
    /// It is no store, or is one no longer.
    #[error(
        "{path}: the store is damaged ({1}); put a copy of it back, or move it away to begin with an empty one",
        path = .0.display()
    )]
    Damaged(PathBuf, String),
    /// The disk said no: no permission, no space, read-only, no directory.
    #[error(
        "{path}: the store cannot be opened: {1}; make its directory one that this user can write to and that has room, \
         name another in `data-dir`, or keep everything in memory on purpose with `barnabas serve --ephemeral`",
        path = .0.display()
    )]
    Io(PathBuf, #[source] io::Error),
}

/// Opens the file in this directory.
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
        // So that a loss of power does not take the file's name away again.
        File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(fail)?;
    }
    Ok(base)
}

/// In words, where something else is there: the system says only that it exists.
fn not_a_directory(path: &Path) -> Option<io::Error> {
    let found = fs::metadata(path).ok().filter(|found| !found.is_dir())?;
    let message = format!("{} is not a directory, but {}", path.display(), describe_file_type(&found));
    Some(io::Error::new(io::ErrorKind::NotADirectory, message))
}

fn describe_file_type(found: &fs::Metadata) -> &'static str {
    if found.is_file() { "a file" } else { "a device, a pipe or a socket" }
}

/// Opens whatever `source` makes, for the first time.
pub(super) fn open_with(path: &Path, source: DatabaseOpener) -> Result<ReopeningDatabase, StoreOpenError> {
    let mut found = None;
    catch_damage(path, || {
        let mut database = source()?;
        // Reads every page: a file that was altered is refused here and not trusted later.
        database.check_integrity().map_err(redb::Error::from)?;
        if is_new(&database)? {
            initialise(&database)?;
        }
        found = Some((state::read_all_counters(&database)?, database));
        Ok(())
    })?;
    Ok(ReopeningDatabase::new(path.to_owned(), source, found))
}

/// One that nobody sees. It is made at the first question.
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

/// Reads the format without writing a byte. A file that was not closed cannot be read so; it is mended by being opened,
/// and its format read then.
fn check_format(path: &Path) -> Result<(), StoreOpenError> {
    catch_damage(path, || match Builder::new().set_cache_size(CACHE_BYTES).open_read_only(path) {
        Err(DatabaseError::RepairAborted) => Ok(()),
        Err(error) => Err(redb::Error::from(error).into()),
        Ok(database) => is_new(&database).map(|_| ()),
    })
}

/// Whether a database is empty; else it is of a format that can be read.
fn is_new(database: &impl ReadableDatabase) -> Result<bool, InspectError> {
    let (tables, version) = read_format(database)?;
    match version {
        None if tables == 0 => Ok(true),
        // Here, from the second format on, stands how the one before is read.
        Some(SUPPORTED_FORMAT) => Ok(false),
        Some(newer) if newer > SUPPORTED_FORMAT => Err(InspectError::Newer(newer)),
        _ => Err(InspectError::Foreign("it names no format of ours")),
    }
}

/// How many tables there are, and the format they name.
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

/// The engine panics over some kinds of damage; that is damage too.
fn catch_damage(path: &Path, act: impl FnOnce() -> Result<(), InspectError>) -> Result<(), StoreOpenError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|trouble| to_open_error(path, trouble)),
        Err(_) => Err(StoreOpenError::Damaged(path.to_owned(), "its pages do not hang together".into())),
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

/// A file that ends too early is damaged; its disk is well.
fn is_truncated(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}
