//! The WASI that language runtimes always name, over an empty context: no arguments, no environment, no files, no
//! network. Clocks and random are real; standard output and error become log lines.

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

use super::log::{LINE_BYTES, Log};
use crate::plugin::limits::RANDOM_BYTES;

/// What one write may hold.
const PERMIT: usize = 64 * 1024;

/// An empty context whose output goes to `log`.
pub fn context(log: &Log) -> WasiCtx {
    WasiCtx::builder()
        .stdout(Lines::new(log, Level::INFO))
        .stderr(Lines::new(log, Level::WARN))
        .max_random_size(RANDOM_BYTES)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build()
}

/// Cuts a stream into lines. Clones share the unfinished one.
#[derive(Clone)]
struct Lines {
    log: Log,
    level: Level,
    rest: Arc<Mutex<Vec<u8>>>,
}

impl Lines {
    fn new(log: &Log, level: Level) -> Self {
        Self { log: log.clone(), level, rest: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || rest.len() > LINE_BYTES {
                self.end(&mut rest);
            }
        }
    }

    fn end(&self, rest: &mut Vec<u8>) {
        let line = std::mem::take(rest);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            self.log.write(self.level, text.to_owned());
        }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

impl AsyncWrite for Lines {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.take(bytes);
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
    use super::super::log::{Keep, LogSink};
    use super::*;

    #[test]
    fn output_is_cut_into_lines() {
        let sink = Arc::new(LogSink::new("p".into(), 1, Keep::All));
        let lines = Lines::new(&Log::new(sink.clone()), Level::INFO);
        lines.take(b"one\r\nt");
        lines.clone().take(b"wo\n\nthree");
        let heard: Vec<_> = sink.recent().into_iter().map(|line| line.text).collect();
        assert_eq!(heard, ["one", "two"], "the third is not finished");
        lines.take(&vec![b'x'; LINE_BYTES]);
        assert_eq!(sink.recent().len(), 3, "a line that never ends is not kept for ever");
    }
}
