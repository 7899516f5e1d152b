//! Standard output and standard error of every command.
//!
//! Rust's runtime ignores SIGPIPE, and `println!` panics where a write fails: `barnabas config | head -1` would end in a
//! backtrace. These macros write the same text. Where nobody reads standard output any more they end the command as the
//! signal ends other tools; what cannot be written to standard error is dropped, since there is nobody to tell.

use std::fmt::Arguments;
use std::io::{self, Write as _};
use std::process::exit;

/// What a shell reports of a command that SIGPIPE ended: 128 and the signal's number.
const CLOSED: i32 = 141;

/// `print!` that does not panic.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::output::write(format_args!($($text)*)) };
}

/// `println!` that does not panic.
macro_rules! outln {
    () => { $crate::cli::output::write(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprint!` that does not panic.
macro_rules! err {
    ($($text:tt)*) => { $crate::cli::output::complain(format_args!($($text)*)) };
}

/// `eprintln!` that does not panic.
macro_rules! errln {
    () => { $crate::cli::output::complain(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::output::complain(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output. Ends the process where that fails: quietly where the reader has gone.
pub(crate) fn write(text: Arguments<'_>) {
    let mut output = io::stdout().lock();
    if let Err(error) = output.write_fmt(text).and_then(|()| output.flush()) {
        drop(output);
        end(&error);
    }
}

/// Writes to standard error, as far as that is possible.
pub(crate) fn complain(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Says why nothing can be written, unless that is because nobody reads.
fn end(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        exit(CLOSED);
    }
    errln!("barnabas: cannot write to standard output: {error}");
    exit(1);
}
