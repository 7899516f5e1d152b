//! One connection: reads frames, writes answers, and determines why it closes.
//!
//! In: bytes. Out: answers, in order, one request at a time; pipelined requests wait in the kernel. Bounded by the
//! frame cap, the byte budget and the configured timeouts. A client that has to authenticate has `slow_frame` for it,
//! counted from when the connection was accepted, plus at most one more `slow_frame` for a frame that has begun.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::ListenerContext;
use super::connection_guard::{CloseReason, ConnectionGuard};
use super::push_schedule::PushSchedule;
use super::session::KafkaSession;
use super::setup::PreparedConnection;
use super::stream::ConnectionStream;
use crate::budget::Hold;
use crate::protocol::{MAX_PREFIX, ProtocolGuess, recognise};
use barnabas_kafka_wire::frame;
use barnabas_kafka_wire::frame::{BadLength, FrameBuffer};
use barnabas_kafka_wire::request;
use barnabas_pipeline::event::{EventData, Topic};

/// At shutdown, how long a frame that has begun may take to complete.
const GRACE: Duration = Duration::from_secs(2);
/// The longest push that is read and discarded to be answered with "too large". A longer frame is not from a Kafka
/// client.
const LONGEST_SKIPPED: usize = 64 << 20;
const SKIP_CHUNK: usize = 16 << 10;
/// How many of its first bytes are kept: if the header is longer, the client stays unknown.
const LONGEST_START: usize = 4 << 10;

/// The stream and the session of one connection.
pub(crate) struct KafkaConnection {
    stream: ConnectionStream,
    session: KafkaSession,
    /// The source whose share of the byte budget its requests use.
    source: IpAddr,
    /// If authentication is required, when it must be complete.
    authentication_deadline: Option<Instant>,
    shared: Arc<ListenerContext>,
    drain: watch::Receiver<bool>,
    /// When the drain began.
    draining: Option<Instant>,
    /// Whether a frame has been received: before that, the bytes may belong to another protocol.
    received_frame: bool,
}

/// What was read from the connection.
enum IncomingFrame {
    Frame(Bytes),
    /// A push above the frame cap, which was read and discarded.
    PushTooLarge {
        /// Its first bytes.
        start: Vec<u8>,
        len: usize,
    },
}

/// How long to wait for bytes.
struct ReadTimeout {
    deadline: Instant,
    /// Between requests, the client's schedule determines how long to wait once the drain begins.
    schedule: Option<PushSchedule>,
}

/// Why no bytes were read.
enum ReadFailure {
    Eof,
    TimedOut,
    Error(io::Error),
}

impl KafkaConnection {
    pub(crate) fn new(opened: PreparedConnection, guard: &ConnectionGuard, drain: watch::Receiver<bool>) -> Self {
        let shared = guard.shared().clone();
        let session = KafkaSession::new(&shared, guard.id(), guard.peer(), &opened);
        let (source, since) = (guard.peer().ip(), guard.accepted_at());
        let authentication_deadline =
            shared.config.auth.as_ref().and_then(|_| since.checked_add(shared.config.slow_frame));
        Self {
            stream: opened.stream,
            session,
            source,
            authentication_deadline,
            shared,
            drain,
            draining: None,
            received_frame: false,
        }
    }

    /// Answers requests until the connection closes.
    pub(crate) async fn run(mut self) -> CloseReason {
        let end = loop {
            if let Err(end) = self.serve_request().await {
                break end;
            }
        };
        if let CloseReason::WrongProtocol(wrong) = &end {
            self.stream.reject(wrong).await;
        } else if end.is_violation() {
            self.stream.linger().await;
        } else {
            self.stream.close().await;
        }
        end
    }

    async fn serve_request(&mut self) -> Result<(), CloseReason> {
        let mut hold = self.shared.budget.hold_for(self.source);
        let incoming = self.read_frame(&mut hold).await?;
        self.received_frame = true;
        let (received_at, started) = (SystemTime::now(), Instant::now());
        let (answer, size) = match incoming {
            IncomingFrame::Frame(frame) => {
                let answer = self.session.answer(&frame, received_at, &mut hold).await;
                (answer.map_err(CloseReason::Unanswerable)?, frame.len())
            }
            IncomingFrame::PushTooLarge { start, len } => {
                let push = request::oversized_push(&start).expect("only a push is discarded instead of refused");
                (self.session.answer_too_large(&push, len).map_err(CloseReason::Unanswerable)?, len)
            }
        };
        self.write(&answer.frame).await?;
        self.shared.events.emit(Topic::ListenerRequest, || EventData::ListenerRequest {
            api: answer.api.name(),
            version: answer.version,
            size,
            duration: started.elapsed(),
        });
        answer.close_reason.map_or(Ok(()), |why| Err(CloseReason::Unanswerable(why)))
    }

    async fn write(&mut self, answer: &[u8]) -> Result<(), CloseReason> {
        let limit = self.shared.config.slow_frame;
        match timeout(limit, self.stream.write(answer)).await {
            Ok(written) => written.map_err(CloseReason::Lost),
            Err(_) => Err(CloseReason::SlowReader(limit)),
        }
    }

    /// Reads the next frame completely.
    async fn read_frame(&mut self, hold: &mut Hold) -> Result<IncomingFrame, CloseReason> {
        let mut prefix = [0; 4];
        let mut buffer = prefix.as_mut_slice();
        self.wait_for_frame(&mut buffer).await?;
        let deadline = Instant::now() + self.shared.config.slow_frame;
        let mut read_timeout = ReadTimeout { deadline, schedule: None };
        if self.draining.is_some() {
            read_timeout.shorten_for_drain();
        }
        while buffer.has_remaining_mut() {
            self.read_inside_frame(&mut buffer, &mut read_timeout).await?;
        }
        match frame::length(prefix, self.shared.config.max_frame) {
            Ok(len) => self.read_body(len, &mut read_timeout, hold).await.map(IncomingFrame::Frame),
            Err(bad @ BadLength::TooLong { len, .. }) if len <= LONGEST_SKIPPED => {
                let start = self.skip_frame(len, &mut read_timeout, hold).await?.ok_or(CloseReason::BadLength(bad))?;
                Ok(IncomingFrame::PushTooLarge { start, len })
            }
            // Interpreted as a length, the first bytes of another protocol are always too long.
            Err(bad) if self.received_frame => Err(CloseReason::BadLength(bad)),
            Err(bad) => {
                Err(self.wrong_protocol(prefix, &mut read_timeout).await.unwrap_or(CloseReason::BadLength(bad)))
            }
        }
    }

    /// The protocol whose first bytes were received instead of a frame, if it is recognised.
    async fn wrong_protocol(&mut self, prefix: [u8; 4], read_timeout: &mut ReadTimeout) -> Option<CloseReason> {
        let mut first = prefix.to_vec();
        while recognise(&first) == ProtocolGuess::Incomplete {
            let wanted = MAX_PREFIX - first.len();
            self.read_inside_frame(&mut (&mut first).limit(wanted), read_timeout).await.ok()?;
        }
        match recognise(&first) {
            ProtocolGuess::Known(protocol) => Some(CloseReason::WrongProtocol(self.shared.wrong_protocol(protocol))),
            ProtocolGuess::Incomplete | ProtocolGuess::Unknown => None,
        }
    }

    /// The first byte of a frame may take long to arrive; all that follow belong to the frame.
    async fn wait_for_frame(&mut self, buffer: &mut &mut [u8]) -> Result<(), CloseReason> {
        let idle = self.shared.config.idle;
        let authentication_timeout = CloseReason::AuthenticationTimeout(self.shared.config.slow_frame);
        self.authentication_deadline = self.authentication_deadline.filter(|_| !self.session.is_authenticated());
        // Requests in the meantime do not extend the deadline, even if there is always something to read.
        if self.authentication_deadline.is_some_and(|proof| Instant::now() >= proof) {
            return Err(authentication_timeout);
        }
        let (now, schedule) = (Instant::now(), self.session.push_schedule());
        let deadline = now + self.draining.map_or(idle, |since| schedule.final_wait(now, since));
        let deadline = self.authentication_deadline.map_or(deadline, |proof| deadline.min(proof));
        let mut read_timeout = ReadTimeout { deadline, schedule: Some(schedule) };
        self.read_some(buffer, &mut read_timeout).await.map_err(|nothing| match nothing {
            ReadFailure::Eof => CloseReason::Closed,
            ReadFailure::TimedOut if self.draining.is_some() => CloseReason::Drained,
            ReadFailure::TimedOut if self.authentication_deadline == Some(deadline) => authentication_timeout,
            ReadFailure::TimedOut => CloseReason::Idle(idle),
            ReadFailure::Error(error) => CloseReason::Lost(error),
        })
    }

    async fn read_body(
        &mut self,
        len: usize,
        read_timeout: &mut ReadTimeout,
        hold: &mut Hold,
    ) -> Result<Bytes, CloseReason> {
        let mut filling = FrameBuffer::new(len);
        while !filling.is_full() {
            let wants = filling.bytes_to_reserve();
            if wants > 0 {
                self.wait_until_readable(read_timeout).await?;
                read_timeout.grow_hold(hold, wants).await;
                filling.reserve(wants);
            }
            self.read_inside_frame(&mut filling.spare(), read_timeout).await?;
        }
        Ok(filling.finish())
    }

    /// Reads and discards a frame that is too long. Returns its first bytes if it is a push.
    async fn skip_frame(
        &mut self,
        len: usize,
        read_timeout: &mut ReadTimeout,
        hold: &mut Hold,
    ) -> Result<Option<Vec<u8>>, CloseReason> {
        let mut first = [0; 8];
        let mut buffer = first.as_mut_slice();
        while buffer.has_remaining_mut() {
            self.read_inside_frame(&mut buffer, read_timeout).await?;
        }
        if request::oversized_push(&first).is_none() {
            return Ok(None);
        }
        read_timeout.grow_hold(hold, LONGEST_START + SKIP_CHUNK).await;
        let mut start = first.to_vec();
        start.reserve_exact(LONGEST_START);
        while start.len() < len.min(LONGEST_START) {
            let wanted = len.min(LONGEST_START) - start.len();
            self.read_inside_frame(&mut (&mut start).limit(wanted), read_timeout).await?;
        }
        let mut left = len.saturating_sub(start.len());
        let mut waste = Vec::with_capacity(SKIP_CHUNK);
        while left > 0 {
            waste.clear();
            self.read_inside_frame(&mut (&mut waste).limit(left.min(SKIP_CHUNK)), read_timeout).await?;
            left -= waste.len();
        }
        Ok(Some(start))
    }

    /// Waits until there is something to read, before memory is reserved for it.
    async fn wait_until_readable(&mut self, read_timeout: &mut ReadTimeout) -> Result<(), CloseReason> {
        self.read_some(&mut (&mut Vec::new()).limit(0), read_timeout)
            .await
            .map_err(|nothing| self.close_reason_inside_frame(nothing))
    }

    async fn read_inside_frame(
        &mut self,
        into: &mut impl BufMut,
        read_timeout: &mut ReadTimeout,
    ) -> Result<(), CloseReason> {
        self.read_some(into, read_timeout).await.map_err(|nothing| self.close_reason_inside_frame(nothing))
    }

    fn close_reason_inside_frame(&self, failure: ReadFailure) -> CloseReason {
        match failure {
            ReadFailure::Eof => CloseReason::ClosedMidFrame,
            ReadFailure::TimedOut if self.draining.is_some() => CloseReason::SlowFrame(GRACE),
            ReadFailure::TimedOut => CloseReason::SlowFrame(self.shared.config.slow_frame),
            ReadFailure::Error(error) => CloseReason::Lost(error),
        }
    }

    /// Reads at least one byte; if the buffer has no capacity, waits until there is a byte to read.
    async fn read_some(&mut self, into: &mut impl BufMut, read_timeout: &mut ReadTimeout) -> Result<(), ReadFailure> {
        loop {
            let Self { stream: wire, drain, .. } = self;
            tokio::select! {
                biased;
                read = wire.read(into) => return match read {
                    Ok(0) => Err(ReadFailure::Eof),
                    Ok(_) => Ok(()),
                    Err(error) => Err(ReadFailure::Error(error)),
                },
                () = sleep_until(read_timeout.deadline) => return Err(ReadFailure::TimedOut),
                // The sender is dropped only when the whole listener is dropped.
                _ = drain.wait_for(|drain| *drain), if self.draining.is_none() => {
                    self.draining = Some(Instant::now());
                    read_timeout.shorten_for_drain();
                }
            }
        }
    }
}

impl ReadTimeout {
    fn shorten_for_drain(&mut self) {
        let now = Instant::now();
        let left = self.schedule.as_ref().map_or(GRACE, |rhythm| rhythm.final_wait(now, now));
        self.deadline = self.deadline.min(now + left);
    }

    /// Waits for the byte budget. That delay is the host's, not the peer's, so it does not count.
    async fn grow_hold(&mut self, hold: &mut Hold, bytes: usize) {
        let asked = Instant::now();
        hold.grow(bytes).await;
        self.deadline += asked.elapsed();
    }
}
