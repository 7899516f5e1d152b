//! The log lines of guests: the interface `log` of the contract, and standard output and standard error.
//!
//! In: lines of a guest. Out: events in the log of the host, with the name and the generation of the receiver, and a
//! ring buffer of recent lines for `plugin logs`. Bounded by a size for each line, a rate for each instance, and the
//! size of the ring; truncated and dropped lines are counted and reported. Never waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use serde::Serialize;
use tracing::Level;

use super::HostState;
use crate::contract::wit::kafka_telemetry::receiver::log as wit;
use barnabas_base::messages::count_noun;
use barnabas_base::text;

/// The maximum size of one line.
pub const LINE_BYTES: usize = 8 * 1024;
/// The number of lines a second that one instance may write on average, and the size of a burst.
const RATE: f64 = 200.0;
const BURST: f64 = 1_000.0;
/// The size of the ring of recent lines for one generation.
const RING_BYTES: usize = 256 * 1024;
/// The cost of a line in the ring in addition to its text.
const LINE_OVERHEAD: usize = 64;

/// A line that a guest logged.
#[derive(Clone, Debug, Serialize)]
pub struct GuestLogLine {
    /// When it was logged.
    pub at: SystemTime,
    /// The generation of the receiver, or 0 for a trial.
    pub generation: u64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The text, truncated to [`LINE_BYTES`].
    pub text: String,
}

/// Which lines are recorded, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestLogMode {
    /// The lines of the levels that the log of the host has enabled. A guest can check a level before it builds a line.
    HostLevels,
    /// The lines of all levels, for a trial.
    AllLevels,
    /// The lines of the levels that the log of the host has enabled, but only in the ring and not in that log: for a
    /// self-test, which has no real traffic.
    RingOnly,
}

/// The destination for the lines of all instances of one generation.
#[derive(Debug)]
pub struct LogSink {
    plugin: Arc<str>,
    generation: u64,
    mode: GuestLogMode,
    ring: Mutex<Ring>,
    cut: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<GuestLogLine>,
    bytes: usize,
}

impl LogSink {
    /// Creates the sink for one generation of a receiver.
    pub fn new(plugin: Arc<str>, generation: u64, mode: GuestLogMode) -> Self {
        let (cut, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { plugin, generation, mode, ring: Mutex::default(), cut, dropped }
    }

    /// The lines in the ring, oldest first.
    pub fn recent(&self) -> Vec<GuestLogLine> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// Removes the lines from the ring and returns them, oldest first.
    pub fn drain(&self) -> Vec<GuestLogLine> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ring).lines.into()
    }

    /// The number of truncated lines, and the number of dropped lines.
    pub fn losses(&self) -> (u64, u64) {
        (self.cut.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    fn enabled(&self, level: Level) -> bool {
        self.mode == GuestLogMode::AllLevels || host_enables(level)
    }

    fn write(&self, level: Level, mut text: String) {
        if text.len() > LINE_BYTES {
            let len = text.len();
            text.truncate(text.floor_char_boundary(LINE_BYTES));
            text.push_str(&format!("… (truncated, {len} bytes)"));
            // The ring counts the length of a line, so its capacity must not be greater.
            text.shrink_to_fit();
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        let text = text::log_line(text);
        if self.mode != GuestLogMode::RingOnly {
            self.emit(level, &text);
        }
        self.push_to_ring(level, text);
    }

    /// Adds a sentence of the host about an instance to the ring, regardless of the mode. The host has already written
    /// it to its own log.
    pub fn add_host_line(&self, text: String) {
        self.push_to_ring(Level::ERROR, text);
    }

    fn push_to_ring(&self, level: Level, text: String) {
        let line = GuestLogLine { at: SystemTime::now(), generation: self.generation, level: level_name(level), text };
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn emit(&self, level: Level, text: &str) {
        let (plugin, generation) = (&*self.plugin, self.generation);
        macro_rules! event {
            ($level:expr) => {
                tracing::event!(target: "plugin", $level, plugin, generation, "{text}")
            };
        }
        match level {
            Level::ERROR => event!(Level::ERROR),
            Level::WARN => event!(Level::WARN),
            Level::INFO => event!(Level::INFO),
            Level::DEBUG => event!(Level::DEBUG),
            _ => event!(Level::TRACE),
        }
    }
}

impl Ring {
    fn push(&mut self, line: GuestLogLine) {
        self.bytes += line.text.len() + LINE_OVERHEAD;
        self.lines.push_back(line);
        while self.bytes > RING_BYTES {
            let Some(oldest) = self.lines.pop_front() else { break };
            self.bytes -= oldest.text.len() + LINE_OVERHEAD;
        }
    }
}

fn host_enables(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: "plugin", Level::ERROR),
        Level::WARN => tracing::enabled!(target: "plugin", Level::WARN),
        Level::INFO => tracing::enabled!(target: "plugin", Level::INFO),
        Level::DEBUG => tracing::enabled!(target: "plugin", Level::DEBUG),
        _ => tracing::enabled!(target: "plugin", Level::TRACE),
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        _ => "trace",
    }
}

/// The log of one instance: writes to the sink with a rate limit of its own, which clones share.
#[derive(Clone, Debug)]
pub struct GuestLog {
    sink: Arc<LogSink>,
    limiter: Arc<Mutex<LineRateLimiter>>,
}

#[derive(Debug)]
struct LineRateLimiter {
    tokens: f64,
    at: Instant,
    dropped: u64,
}

impl LineRateLimiter {
    /// Returns `None` if the line must be dropped, otherwise the number of lines that were dropped before it.
    fn try_acquire(&mut self, now: Instant) -> Option<u64> {
        let earned = now.saturating_duration_since(self.at).as_secs_f64() * RATE;
        (self.tokens, self.at) = ((self.tokens + earned).min(BURST), now);
        if self.tokens < 1.0 {
            self.dropped += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }
}

impl GuestLog {
    /// Creates the log for a new instance.
    pub fn new(sink: Arc<LogSink>) -> Self {
        let bucket = LineRateLimiter { tokens: BURST, at: Instant::now(), dropped: 0 };
        Self { sink, limiter: Arc::new(Mutex::new(bucket)) }
    }

    /// See [`LogSink::add_host_line`].
    pub fn add_host_line(&self, text: String) {
        self.sink.add_host_line(text);
    }

    /// Writes one line, or counts it as dropped.
    pub fn write(&self, level: Level, text: String) {
        if !self.sink.enabled(level) {
            return;
        }
        let passed = self.limiter.lock().unwrap_or_else(PoisonError::into_inner).try_acquire(Instant::now());
        match passed {
            None => _ = self.sink.dropped.fetch_add(1, Ordering::Relaxed),
            Some(0) => self.sink.write(level, text),
            Some(dropped) => {
                self.sink.write(
                    Level::WARN,
                    format!("({} dropped: the limit is {RATE} lines a second)", count_noun(dropped, "line")),
                );
                self.sink.write(level, text);
            }
        }
    }
}

fn level(level: wit::Level) -> Level {
    match level {
        wit::Level::Error => Level::ERROR,
        wit::Level::Warn => Level::WARN,
        wit::Level::Info => Level::INFO,
        wit::Level::Debug => Level::DEBUG,
        wit::Level::Trace => Level::TRACE,
    }
}

impl wit::Host for HostState {
    fn write(&mut self, at: wit::Level, message: String) -> wasmtime::Result<()> {
        self.log.write(level(at), message);
        Ok(())
    }

    fn enabled(&mut self, at: wit::Level) -> wasmtime::Result<bool> {
        Ok(self.log.sink.enabled(level(at)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn sink() -> Arc<LogSink> {
        Arc::new(LogSink::new("p".into(), 1, GuestLogMode::AllLevels))
    }

    #[test]
    fn line_cap_obeyed() {
        let sink = sink();
        GuestLog::new(sink.clone()).write(Level::INFO, "x".repeat(LINE_BYTES));
        assert_eq!((sink.recent()[0].text.len(), sink.losses()), (LINE_BYTES, (0, 0)));
    }

    #[test]
    fn line_cap_violated() {
        let sink = sink();
        GuestLog::new(sink.clone()).write(Level::INFO, "é".repeat(LINE_BYTES));
        let lines = sink.recent();
        assert!(lines[0].text.ends_with(&format!("… (truncated, {} bytes)", 2 * LINE_BYTES)), "{}", lines[0].text);
        assert_eq!(sink.losses(), (1, 0));
    }

    #[test]
    fn a_line_stays_one_line() {
        let sink = sink();
        GuestLog::new(sink.clone()).write(Level::INFO, "a\nb\u{1b}[2J\tc \"d\"".into());
        assert_eq!(sink.recent()[0].text, "a\\nb\\u{1b}[2J\tc \"d\"");
    }

    #[test]
    fn lines_above_the_rate_are_dropped_counted_and_reported() {
        let (now, mut bucket) = (Instant::now(), LineRateLimiter { tokens: BURST, at: Instant::now(), dropped: 0 });
        let passed = (0..5_000).filter(|_| bucket.try_acquire(now).is_some()).count();
        assert_eq!(passed as f64, BURST);
        assert_eq!(bucket.try_acquire(now + Duration::from_secs(1)), Some(5_000 - BURST as u64));
        assert_eq!(bucket.try_acquire(now + Duration::from_secs(1)), Some(0));
    }

    #[test]
    fn the_ring_is_bounded_in_bytes() {
        let sink = sink();
        let log = GuestLog::new(sink.clone());
        for n in 0..200 {
            log.write(Level::INFO, format!("{n}{}", "x".repeat(LINE_BYTES - 10)));
        }
        let lines = sink.recent();
        assert!(lines.iter().map(|l| l.text.len()).sum::<usize>() <= RING_BYTES);
        assert!(lines.last().unwrap().text.starts_with("199"), "the newest lines remain");
    }
}
