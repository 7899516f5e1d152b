//! A persistent key-value store for the plugin. The entries survive panics, discarded instances, new versions of the
//! receiver and restarts of the host.
//!
//! ```
//! use barnabas_sdk::state;
//!
//! # fn main() -> Result<(), state::Error> {
//! let number = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
//! state::update("pushes", |value| (number(value) + 1).to_be_bytes())?;
//! # Ok(())
//! # }
//! ```
//!
//! All instances of a plugin share one state. An old and a new version of the plugin share it as well while both run.
//! So a value that several instances change must be changed with [`update`] or [`compare_and_set`], never with [`get`]
//! and [`set`]. A change is on disk when its function returns, which takes as long as the disk needs: store what must
//! persist, and do not write once for each push. If a receiver counts a batch and then does not accept it, the host
//! offers the batch again, and the receiver counts it again, unless it also stores the [ids](crate::Push::id).
//!
//! The operator grants the state with `[grants] state = "1MiB"`. Without this grant the plugin still runs, and each
//! function of this module returns [`Error::Unavailable`]. In a native test each thread has its own state, and
//! [`testing::state`](crate::testing::state) can refuse changes or revoke the grant.

use std::fmt;

use crate::ExportError;
use crate::contract::state as host;

/// How many times [`update`] tries again after a conflict. Each conflict means that another instance made progress.
pub const UPDATE_ATTEMPTS: usize = 256;
/// How many keys [`keys`] reads in one call of the host.
const KEYS_PER_PAGE: u32 = 256;

/// The value of a key, with its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// The version of the value. Every change gives the key a higher version. A version is never reused, even if the
    /// key was deleted in between.
    pub version: u64,
}

/// Why a function did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The key does not have the expected version. This is its current entry, or `None` if the key does not exist.
    Conflict(Option<Entry>),
    /// The change would exceed a limit; the text names the limit.
    Full(String),
    /// The key is not valid; the text is the reason.
    InvalidKey(String),
    /// The operator did not grant state, or the store of the host cannot be used now; the text says which of the two.
    Unavailable(String),
}

/// Returns the current entry of a key, or `None` if the key does not exist.
pub fn get(key: &str) -> Result<Option<Entry>, Error> {
    Ok(host::get(key)?.map(Into::into))
}

/// Sets the value of a key unconditionally and returns the new version.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<u64, Error> {
    Ok(host::set(key, value.as_ref())?)
}

/// Sets the value of a key and returns the new version, provided that the key has the `expected` version, or that it
/// does not exist if `expected` is `None`. Otherwise it returns [`Error::Conflict`] with the current entry.
pub fn compare_and_set(key: &str, value: impl AsRef<[u8]>, expected: Option<u64>) -> Result<u64, Error> {
    Ok(host::compare_and_set(key, value.as_ref(), expected)?)
}

/// Replaces the value of a key with the result of `change`, which gets the current value, and returns the new entry. If
/// another instance changed the key in the meantime, `change` is called again, at most [`UPDATE_ATTEMPTS`] times; then
/// the error is [`Error::Conflict`].
pub fn update<V: AsRef<[u8]>>(key: &str, mut change: impl FnMut(Option<&[u8]>) -> V) -> Result<Entry, Error> {
    let mut current = get(key)?;
    for _ in 0..UPDATE_ATTEMPTS {
        let value = change(current.as_ref().map(|entry| entry.value.as_slice())).as_ref().to_vec();
        match compare_and_set(key, &value, current.map(|entry| entry.version)) {
            Ok(version) => return Ok(Entry { value, version }),
            Err(Error::Conflict(now)) => current = now,
            Err(error) => return Err(error),
        }
    }
    Err(Error::Conflict(current))
}

/// Deletes a key, if it exists.
pub fn delete(key: &str) -> Result<(), Error> {
    Ok(host::delete(key, None)?)
}

/// Deletes a key if it has the `expected` version. Otherwise it returns [`Error::Conflict`] with the current entry.
pub fn compare_and_delete(key: &str, expected: u64) -> Result<(), Error> {
    Ok(host::delete(key, Some(expected))?)
}

/// Lists the keys that start with `prefix`, in the order of their bytes. The iterator reads them page by page, and ends
/// after the first error.
pub fn keys(prefix: &str) -> Keys {
    Keys { prefix: prefix.to_owned(), page: Vec::new().into_iter(), after: None, more: true }
}

/// The iterator that [`keys`] returns.
#[derive(Debug)]
pub struct Keys {
    prefix: String,
    page: std::vec::IntoIter<String>,
    after: Option<String>,
    more: bool,
}

impl Iterator for Keys {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(key) = self.page.next() {
            return Some(Ok(key));
        }
        if !self.more {
            return None;
        }
        match host::keys(&self.prefix, self.after.as_deref(), KEYS_PER_PAGE) {
            Err(error) => {
                self.more = false;
                Some(Err(error.into()))
            }
            Ok(page) => {
                self.more = page.len() == KEYS_PER_PAGE as usize;
                self.after = page.last().cloned();
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
        }
    }
}

impl Error {
    /// A stable name for logs: `conflict`, `full`, …
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Conflict(_) => "conflict",
            Self::Full(_) => "full",
            Self::InvalidKey(_) => "invalid-key",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(Some(there)) => {
                write!(f, "the key has version {}, which is not the expected one", there.version)
            }
            Self::Conflict(None) => write!(f, "the key does not exist, although a version of it was expected"),
            Self::Full(cap) => write!(f, "the state is full: {cap}"),
            Self::InvalidKey(reason) => write!(f, "the key is not valid: {reason}"),
            Self::Unavailable(reason) => write!(f, "the state is not available: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// The pushes are not the cause of such an error. So every error except an invalid key becomes
/// [`ExportError::unavailable`], and the host keeps the pushes.
impl From<Error> for ExportError {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidKey(_) => Self::other(error.to_string()),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

impl From<host::Entry> for Entry {
    fn from(host::Entry { value, version }: host::Entry) -> Self {
        Self { value, version }
    }
}

impl From<host::StateError> for Error {
    fn from(error: host::StateError) -> Self {
        match error {
            host::StateError::Conflict(there) => Self::Conflict(there.map(Into::into)),
            host::StateError::Full(cap) => Self::Full(cap),
            host::StateError::InvalidKey(reason) => Self::InvalidKey(reason),
            host::StateError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_set_value_is_read_back_and_versions_never_repeat() {
        assert_eq!(get("a"), Ok(None));
        let first = set("a", "one").unwrap();
        assert_eq!(get("a"), Ok(Some(Entry { value: b"one".to_vec(), version: first })));
        let there = Some(Entry { value: b"one".to_vec(), version: first });
        assert_eq!(compare_and_set("a", "two", None), Err(Error::Conflict(there)));
        let second = compare_and_set("a", "two", Some(first)).unwrap();
        assert!(matches!(compare_and_delete("a", first), Err(Error::Conflict(Some(_)))));
        compare_and_delete("a", second).unwrap();
        assert_eq!(compare_and_delete("a", second), Err(Error::Conflict(None)));
        assert!(compare_and_set("a", "", None).unwrap() > second);
        delete("a").unwrap();
        delete("a").unwrap();
        assert_eq!(get("a"), Ok(None));
    }

    #[test]
    fn keys_come_in_order_and_in_pages() {
        (0..600).for_each(|n| _ = set(&format!("k/{n:03}"), "").unwrap());
        set("j", "").unwrap();
        set("l", "").unwrap();
        let found: Vec<_> = keys("k/").map(Result::unwrap).collect();
        assert_eq!(found, (0..600).map(|n| format!("k/{n:03}")).collect::<Vec<_>>());
        assert_eq!(keys("m").count(), 0);
    }

    #[test]
    fn an_update_is_retried_after_a_conflict() {
        let mut calls = 0;
        let after = update("n", |there| {
            calls += 1;
            if calls < 3 {
                set("n", [calls]).unwrap();
            }
            there.map_or(0, |bytes| bytes[0]).to_string()
        });
        assert_eq!((after.unwrap().value, calls), (b"2".to_vec(), 3));
        let mut calls = 0;
        let never = update("n", |_| {
            calls += 1;
            set("n", "").unwrap();
            "mine"
        });
        assert!(matches!(never, Err(Error::Conflict(Some(_)))));
        assert_eq!(calls, UPDATE_ATTEMPTS);
    }

    #[test]
    fn every_error_becomes_an_outcome_that_drops_no_push() {
        for bad in ["", &"k".repeat(513)] {
            let error = set(bad, "").unwrap_err();
            assert_eq!(error.kind(), "invalid-key");
            assert!(matches!(ExportError::from(error), ExportError::Other(_)));
        }
        assert_eq!(set("large", vec![0; 262_145]).unwrap_err().kind(), "full");
        testing::state::refuse(Some(Error::Full("2 keys exceed the limit of 1".into())));
        let full = set("a", "").unwrap_err();
        assert_eq!(delete("a").unwrap_err(), full);
        let wanted = ExportError::unavailable("the state is full: 2 keys exceed the limit of 1");
        assert_eq!(ExportError::from(full), wanted);
        assert_eq!(get("a"), Ok(None), "reading still works");
        testing::state::refuse(None);
        set("a", "").unwrap();
    }
}
