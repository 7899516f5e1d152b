//! Lines in the log of the host. The host adds the name of the receiver and its generation.
//!
//! ```
//! use barnabas_sdk::log;
//! log::warn!("the sink answered {}", 503);
//! ```
//!
//! A line is formatted only if the host records its level. The host may truncate a long line, and may drop lines if the
//! receiver writes too many. It counts both.

use std::fmt;

use crate::contract::log as host;

pub use crate::{__debug as debug, __error as error, __info as info, __trace as trace, __warn as warn};

/// The level of a line, most important first. It is displayed as `error`, `warn`, `info`, `debug` or `trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Something failed, and the operator should investigate it.
    Error,
    /// Something is wrong, but the receiver continues.
    Warn,
    /// Information for the operator.
    Info,
    /// Information for the author of the receiver.
    Debug,
    /// Detailed information about each step.
    Trace,
}

/// Whether the host records lines of this level. The macros check it themselves.
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

/// Something failed, and the operator should investigate it.
#[macro_export]
#[doc(hidden)]
macro_rules! __error { ($($line:tt)+) => { $crate::__log!(Error, $($line)+) }; }

/// Something is wrong, but the receiver continues.
#[macro_export]
#[doc(hidden)]
macro_rules! __warn { ($($line:tt)+) => { $crate::__log!(Warn, $($line)+) }; }

/// Information for the operator.
#[macro_export]
#[doc(hidden)]
macro_rules! __info { ($($line:tt)+) => { $crate::__log!(Info, $($line)+) }; }

/// Information for the author of the receiver.
#[macro_export]
#[doc(hidden)]
macro_rules! __debug { ($($line:tt)+) => { $crate::__log!(Debug, $($line)+) }; }

/// Detailed information about each step.
#[macro_export]
#[doc(hidden)]
macro_rules! __trace { ($($line:tt)+) => { $crate::__log!(Trace, $($line)+) }; }
