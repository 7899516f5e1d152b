//! Keys and values that the plugin's slot keeps: they outlive panics, discarded instances, new versions of the receiver
//! and restarts of the host.
//!
//! ```
//! use barnabas_sdk::state;
//!
//! # fn main() -> Result<(), state::Error> {
//! let old = |bytes: Option<&[u8]>| bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
//! state::update("pushes", |kept| (old(kept) + 1).to_be_bytes())?;
//! # Ok(())
//! # }
//! ```
//!
//! All instances of a plugin share one state, and so do an old and a new version of it while both run: a number that
//! several change is changed with [`update`] or [`compare_and_set`], never with [`get`] and [`set`]. A change is on the
//! disk when its function returns, which takes as long as a disk does: keep what must last, not every push. A batch
//! that was counted and then not taken is offered again, and counted again, unless its
//! [ids](crate::Push::id) are kept too.
//!
//! The operator grants it with `[grants] state = "1MiB"`; without that grant the plugin runs all the same, and each call
//! here is [`Error::Unavailable`]. In a native test each thread has a state of its own, and
//! [`testing::state`](crate::testing::state) refuses changes or takes the grant away.

use std::fmt;

use crate::ExportError;
use crate::contract::state as host;

/// How often [`update`] begins anew because others were faster. Each time one of them got on.
pub const UPDATE_ATTEMPTS: usize = 256;
/// How many keys [`keys`] asks for at once.
const KEYS_PER_PAGE: u32 = 256;

/// What is under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Given by the change that made the value. Versions of a key grow and never repeat, also when it was deleted in
    /// between.
    pub version: u64,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Something else is there than was expected: this, or nothing.
    Conflict(Option<Entry>),
    /// The change would pass a cap; which one.
    Full(String),
    /// This can be no key; why.
    InvalidKey(String),
    /// The operator granted no state, or the host's store cannot be used now; which of the two.
    Unavailable(String),
}

/// What is under a key now.
pub fn get(key: &str) -> Result<Option<Entry>, Error> {
    Ok(host::get(key)?.map(Into::into))
}

/// Puts a value under a key, whatever was there, and gives its version.
pub fn set(key: &str, value: impl AsRef<[u8]>) -> Result<u64, Error> {
    Ok(host::set(key, value.as_ref())?)
}

/// Puts a value under a key only where exactly the `expected` version is there, or with `None` where nothing is, and
/// gives the new version. Else [`Error::Conflict`] with what is there.
pub fn compare_and_set(key: &str, value: impl AsRef<[u8]>, expected: Option<u64>) -> Result<u64, Error> {
    Ok(host::compare_and_set(key, value.as_ref(), expected)?)
}

/// Makes a new value of the one that is there, and gives what is there then. `change` is called again when another
/// instance was faster, at most [`UPDATE_ATTEMPTS`] times; then [`Error::Conflict`].
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

/// Deletes a key, if it is there.
pub fn delete(key: &str) -> Result<(), Error> {
    Ok(host::delete(key, None)?)
}

/// Deletes a key only where exactly this version is there. Else [`Error::Conflict`] with what is there.
pub fn compare_and_delete(key: &str, expected: u64) -> Result<(), Error> {
    Ok(host::delete(key, Some(expected))?)
}

/// Keys that begin with `prefix`, in the order of their bytes. They are asked for as they are wanted; the first error
/// ends it.
pub fn keys(prefix: &str) -> Keys {
    Keys { prefix: prefix.to_owned(), page: Vec::new().into_iter(), after: None, more: true }
}

/// Made by [`keys`].
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
                write!(f, "the key holds version {} and not what was expected", there.version)
            }
            Self::Conflict(None) => write!(f, "the key is not there, and was expected to be"),
            Self::Full(cap) => write!(f, "the state is full: {cap}"),
            Self::InvalidKey(reason) => write!(f, "the key cannot be one: {reason}"),
            Self::Unavailable(reason) => write!(f, "the state cannot be used: {reason}"),
        }
    }
}

impl std::error::Error for Error {}

/// No fault of the pushes: all but a key that can be none is answered with [`ExportError::unavailable`], so that the
/// host keeps them.
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
        assert_eq!(get("a"), Ok(None), "reading goes on");
        testing::state::refuse(None);
        set("a", "").unwrap();
    }
}
