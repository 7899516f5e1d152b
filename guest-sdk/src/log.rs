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
pub use host::Level;

/// Whether lines of this level are kept at all. The macros ask by themselves.
pub fn enabled(level: Level) -> bool {
    host::enabled(level)
}

/// Writes one line.
pub fn write(level: Level, line: impl fmt::Display) {
    host::write(level, &line.to_string());
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
