//! The WASI context, for the interfaces that language runtimes always import. It is empty: it has no arguments, no
//! environment variables, no files and no network. The clocks and random numbers are real, and standard output and
//! standard error become log lines.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Level;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, async_trait};

use super::log::{GuestLog, LINE_BYTES};
use crate::limits::MAX_RANDOM_BYTES;

/// The maximum number of bytes of one write.
const WRITE_BYTES: usize = 64 * 1024;

/// The maximum length, in characters, of the last line that becomes the reason of a trap.
const LAST_LINE_CHARS: usize = 300;
/// Prefixes of the lines that language runtimes write after the reason: the panic of componentize-py after a traceback,
/// the hint of Rust, the heading of the call stack in StarlingMonkey, and the message of its abort.
const TRAILER_PREFIXES: [&str; 5] = [
    "thread '",
    "Python function threw an unexpected exception",
    "note: run with `RUST_BACKTRACE",
    "Stack:",
    "Redirecting call to abort()",
];

/// Creates an empty context whose output goes to `log`, with access to the last line of standard error.
pub fn empty_context(log: &GuestLog) -> (WasiCtx, LastStderrLine) {
    let stderr = LineSplitter::new(log, Level::WARN);
    let last = LastStderrLine { last: stderr.last.clone(), partial: stderr.partial.clone() };
    let context = WasiCtx::builder()
        .stdout(LineSplitter::new(log, Level::INFO))
        .stderr(stderr)
        .max_random_size(MAX_RANDOM_BYTES)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build();
    (context, last)
}

/// The last line of standard error that can be the reason of a trap: the runtimes of Python and JavaScript write an
/// exception there and then trap.
#[derive(Debug)]
pub struct LastStderrLine {
    last: Arc<Mutex<String>>,
    partial: Arc<Mutex<Vec<u8>>>,
}

impl LastStderrLine {
    /// Takes the last line since the previous call, at most `LAST_LINE_CHARS` characters of it, or `None` if there is
    /// none.
    pub fn take(&self) -> Option<String> {
        let line = std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner));
        // The last line of a guest that traps has no line break.
        let rest = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = trap_reason(&String::from_utf8_lossy(&rest));
        rest.or((!line.is_empty()).then_some(line))
    }
}

/// The start of the line, unless it cannot be a reason: it is blank, indented like a frame of a call stack, or a line
/// that runtimes write after the reason.
fn trap_reason(line: &str) -> Option<String> {
    let is_message = !line.trim().is_empty() && !line.starts_with(char::is_whitespace);
    (is_message && !TRAILER_PREFIXES.iter().any(|below| line.starts_with(below)))
        .then(|| line.chars().take(LAST_LINE_CHARS).collect())
}

/// Splits a stream into lines. Clones share the partial line.
#[derive(Clone)]
struct LineSplitter {
    log: GuestLog,
    level: Level,
    partial: Arc<Mutex<Vec<u8>>>,
    last: Arc<Mutex<String>>,
}

impl LineSplitter {
    fn new(log: &GuestLog, level: Level) -> Self {
        Self { log: log.clone(), level, partial: Arc::default(), last: Arc::default() }
    }

    fn push_bytes(&self, bytes: &[u8]) {
        let mut rest = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || rest.len() > LINE_BYTES {
                self.flush_line(&mut rest);
            }
        }
    }

    fn flush_line(&self, rest: &mut Vec<u8>) {
        let line = std::mem::take(rest);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if let Some(reason) = trap_reason(text) {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        }
        if !text.is_empty() {
            self.log.write(self.level, text.to_owned());
        }
    }
}

impl IsTerminal for LineSplitter {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineSplitter {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LineSplitter {
    async fn ready(&mut self) {}
}

impl OutputStream for LineSplitter {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push_bytes(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

impl AsyncWrite for LineSplitter {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push_bytes(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::{GuestLogMode, LogSink};
    use super::*;

    #[test]
    fn output_is_split_into_lines() {
        let sink = Arc::new(LogSink::new("p".into(), 1, GuestLogMode::AllLevels));
        let lines = LineSplitter::new(&GuestLog::new(sink.clone()), Level::INFO);
        lines.push_bytes(b"one\r\nt");
        lines.clone().push_bytes(b"wo\n\nthree");
        let logged: Vec<_> = sink.recent().into_iter().map(|line| line.text).collect();
        assert_eq!(logged, ["one", "two"], "the third line is not complete");
        lines.push_bytes(&vec![b'x'; LINE_BYTES]);
        assert_eq!(sink.recent().len(), 3, "a line without an end is not buffered indefinitely");
    }

    #[test]
    fn the_last_line_that_is_a_message_is_the_reason_once() {
        let last = |text: &str| {
            let sink = Arc::new(LogSink::new("p".into(), 1, GuestLogMode::AllLevels));
            let lines = LineSplitter::new(&GuestLog::new(sink), Level::WARN);
            let last = LastStderrLine { last: lines.last.clone(), partial: lines.partial.clone() };
            lines.push_bytes(text.as_bytes());
            (last.take(), last.take())
        };
        let python = "Traceback (most recent call last):\n  File \"app.py\", line 3, in export_metrics\nKeyError: 'x'\n\
                      thread '<unnamed>' (1) panicked at runtime/src/lib.rs:1293:29:\n\
                      Python function threw an unexpected exception\n\
                      note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        assert_eq!(last(python), (Some("KeyError: 'x'".into()), None));
        let javascript = "Error: why\nfail@app.js:91:9\ninvalid variant tag value `undefined` (received `Error: why`) \
                          specified for `ExportError`\nStack:\n  exportMetrics@app.js:3:4\n\
                          Redirecting call to abort() to mozalloc_abort\n";
        let reason = "invalid variant tag value `undefined` (received `Error: why`) specified for `ExportError`";
        assert_eq!(last(javascript).0.as_deref(), Some(reason));
        let rust = "thread 'main' panicked at src/lib.rs:1:1:\nboom\nnote: run with `RUST_BACKTRACE=1` environment";
        assert_eq!(last(rust).0.as_deref(), Some("boom"));
        assert_eq!(last("").0, None);
        assert_eq!(last("not ended").0.as_deref(), Some("not ended"));
    }

    #[test]
    fn last_line_cap_obeyed_and_violated() {
        assert_eq!(trap_reason(&"é".repeat(LAST_LINE_CHARS)).unwrap().chars().count(), LAST_LINE_CHARS);
        assert_eq!(trap_reason(&"é".repeat(LAST_LINE_CHARS + 1)).unwrap().chars().count(), LAST_LINE_CHARS);
    }
}
