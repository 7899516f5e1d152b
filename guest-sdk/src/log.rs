//! Lines for the host's log, under the receiver's name.
//!
//! ```
//! use barnabas_sdk::log;
//! log::warn!("the sink answered {}", 503);
//! ```
//!
//! A line is built only when the host keeps its level. The host may cut a long line and drop lines of a receiver that
//! floods it, and counts both.

use std::fmt;

use crate::contract::log as host;

pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

/// How much a line matters, most first. Prints as `error`, `warn`, `info`, `debug`, `trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Something failed that somebody has to look at.
    Error,
    /// Something is wrong and the receiver goes on.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What the author wants to know.
    Debug,
    /// Every step.
    Trace,
}

/// Whether lines of this level are kept at all. The macros ask by themselves.
pub fn enabled(level: Level) -> bool {
    host::enabled(level.into())
}

/// Writes one line.
pub fn write(level: Level, line: impl fmt::Display) {
    host::write(level.into(), &line.to_string());
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl From<Level> for host::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    ($level:ident, $($line:tt)+) => {
        if $crate::log::enabled($crate::log::Level::$level) {
            $crate::log::write($crate::log::Level::$level, ::core::format_args!($($line)+));
        }
    };
}

/// Something failed that somebody has to look at.
#[macro_export]
#[doc(hidden)]
macro_rules! __error { ($($line:tt)+) => { $crate::__log!(Error, $($line)+) }; }

/// Something is wrong and the receiver goes on.
#[macro_export]
#[doc(hidden)]
macro_rules! __warn { ($($line:tt)+) => { $crate::__log!(Warn, $($line)+) }; }

/// What an operator wants to know.
#[macro_export]
#[doc(hidden)]
macro_rules! __info { ($($line:tt)+) => { $crate::__log!(Info, $($line)+) }; }

/// What the author wants to know.
#[macro_export]
#[doc(hidden)]
macro_rules! __debug { ($($line:tt)+) => { $crate::__log!(Debug, $($line)+) }; }

/// Every step.
#[macro_export]
#[doc(hidden)]
macro_rules! __trace { ($($line:tt)+) => { $crate::__log!(Trace, $($line)+) }; }
