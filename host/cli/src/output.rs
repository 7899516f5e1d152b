//! Standard output and standard error of every command.
//!
//! Rust's runtime ignores SIGPIPE, and `println!` panics if a write fails: `barnabas config | head -1` would end with a
//! backtrace. These macros write the same text. If standard output is closed, they end the command with the status that
//! SIGPIPE gives other tools. Text that cannot be written to standard error is dropped, since it cannot be reported.

use std::fmt::Arguments;
use std::io::{self, Write as _};
use std::process::exit;

/// Exit status that a shell reports for a command that SIGPIPE ended: 128 plus the number of the signal.
const CLOSED: i32 = 141;

/// `print!` that does not panic.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::write_stdout(format_args!($($text)*)) };
}

/// `println!` that does not panic.
macro_rules! outln {
    () => { $crate::output::write_stdout(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::write_stdout(format_args!("{}\n", format_args!($($text)*))) };
}

/// `eprint!` that does not panic.
macro_rules! err {
    ($($text:tt)*) => { $crate::output::write_stderr(format_args!($($text)*)) };
}

/// `eprintln!` that does not panic.
macro_rules! errln {
    () => { $crate::output::write_stderr(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::write_stderr(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output. If that fails, ends the process: silently if the reader has closed the pipe.
pub(crate) fn write_stdout(text: Arguments<'_>) {
    let mut output = io::stdout().lock();
    if let Err(error) = output.write_fmt(text).and_then(|()| output.flush()) {
        drop(output);
        exit_on_error(&error);
    }
}

/// Writes to standard error. Ignores errors.
pub(crate) fn write_stderr(text: Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Reports the error, unless the pipe is closed.
fn exit_on_error(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        exit(CLOSED);
    }
    errln!("barnabas: cannot write to standard output: {error}");
    exit(1);
}
