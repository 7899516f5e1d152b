//! Log lines of guests: `log` of the contract, and standard output and error.
//!
//! In: lines. Out: the host's log under the receiver's name and generation, and a ring of recent lines for those who
//! ask. Bounded by a cap on each line, a rate per instance, and the ring's bytes; what is cut or dropped is counted
//! and said. Never waits.

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

/// Most bytes of one line.
pub const LINE_BYTES: usize = 8 * 1024;
/// Lines a second that one instance may write in the long run, and at once after a pause.
const RATE: f64 = 200.0;
const BURST: f64 = 1_000.0;
/// Bytes of recent lines kept for one generation.
const RING_BYTES: usize = 256 * 1024;
/// What a line in the ring costs beside its text.
const LINE_OVERHEAD: usize = 64;

/// One line that a guest wrote.
#[derive(Clone, Debug, Serialize)]
pub struct GuestLogLine {
    /// When.
    pub at: SystemTime,
    /// Of which generation; 0 where it was a trial.
    pub generation: u64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The text, cut to [`LINE_BYTES`].
    pub text: String,
}

/// Which levels are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestLogMode {
    /// Those that the host's own log keeps; others are not even written by a guest that asks first.
    HostLevels,
    /// All: a trial shows everything.
    AllLevels,
    /// Those that the host's log keeps, and not in that log: a self-test is nobody's traffic.
    RingOnly,
}

/// Where the lines of all instances of a generation go.
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
    /// For one generation of a receiver.
    pub fn new(plugin: Arc<str>, generation: u64, mode: GuestLogMode) -> Self {
        let (cut, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { plugin, generation, mode, ring: Mutex::default(), cut, dropped }
    }

    /// The lines that are still in the ring, oldest first.
    pub fn recent(&self) -> Vec<GuestLogLine> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).lines.iter().cloned().collect()
    }

    /// The same lines, which are kept no longer.
    pub fn drain(&self) -> Vec<GuestLogLine> {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *ring).lines.into()
    }

    /// Lines that were cut, and lines that were dropped.
    pub fn losses(&self) -> (u64, u64) {
        (self.cut.load(Ordering::Relaxed), self.dropped.load(Ordering::Relaxed))
    }

    fn enabled(&self, level: Level) -> bool {
        self.mode == GuestLogMode::AllLevels || host_enables(level)
    }

    fn write(&self, level: Level, mut text: String) {
        if text.len() > LINE_BYTES {
            let whole = text.len();
            text.truncate(text.floor_char_boundary(LINE_BYTES));
            text.push_str(&format!("… (cut, {whole} bytes)"));
            // The ring counts what a line holds, so no line may keep room for what was cut.
            text.shrink_to_fit();
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
        let text = text::log_line(text);
        if self.mode != GuestLogMode::RingOnly {
            self.emit(level, &text);
        }
        self.push_to_ring(level, text);
    }

    /// Keeps a sentence of the host about an instance among the lines, whatever levels are kept. In the host's own log
    /// it stands already.
    pub fn add_host_line(&self, text: String) {
        self.push_to_ring(Level::ERROR, text);
    }

    fn push_to_ring(&self, level: Level, text: String) {
        let line = GuestLogLine { at: SystemTime::now(), generation: self.generation, level: level_name(level), text };
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn emit(&self, level: Level, text: &str) {
        let (plugin, generation) = (&*self.plugin, self.generation);
        macro_rules! tell {
            ($level:expr) => {
                tracing::event!(target: "plugin", $level, plugin, generation, "{text}")
            };
        }
        match level {
            Level::ERROR => tell!(Level::ERROR),
            Level::WARN => tell!(Level::WARN),
            Level::INFO => tell!(Level::INFO),
            Level::DEBUG => tell!(Level::DEBUG),
            _ => tell!(Level::TRACE),
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

/// One instance's way to the sink, with its own rate. Clones share it.
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
    /// Whether a line may pass, and how many were dropped before it.
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
    /// For a new instance.
    pub fn new(sink: Arc<LogSink>) -> Self {
        let bucket = LineRateLimiter { tokens: BURST, at: Instant::now(), dropped: 0 };
        Self { sink, limiter: Arc::new(Mutex::new(bucket)) }
    }

    /// See [`LogSink::note`].
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
                    format!("({} dropped: more than {RATE} a second)", count_noun(dropped, "line")),
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
        assert!(lines[0].text.ends_with(&format!("… (cut, {} bytes)", 2 * LINE_BYTES)), "{}", lines[0].text);
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
        assert!(lines.last().unwrap().text.starts_with("199"), "the newest stay");
    }
}
