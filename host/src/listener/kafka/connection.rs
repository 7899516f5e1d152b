//! One socket: frames in, frames out, and how it ends.
//!
//! In: bytes. Out: answers, in order, one request at a time; what a client pipelines waits in the kernel. Bounded by
//! the frame cap, the byte budget and the timeouts of the configuration; who has to prove itself and has not, by
//! `slow_frame` from when it was taken, and then at most one more for a frame that has begun.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use super::frame::{self, BadLength, Filling};
use super::opening::Opened;
use super::presence::{End, Presence};
use super::request;
use super::rhythm::Rhythm;
use super::session::Session;
use super::stream::Wire;
use crate::event::{EventData, Topic};
use crate::listener::budget::Hold;
use crate::listener::protocol::{Guess, LONGEST, recognise};

/// At shutdown, how long a frame that has begun may take to its end.
const GRACE: Duration = Duration::from_secs(2);
/// Longest push that is read past to be answered "too large". What claims more is no Kafka client.
const LONGEST_SKIPPED: usize = 64 << 20;
const SKIP_CHUNK: usize = 16 << 10;
/// So much of its beginning is looked at: who behind a longer header sent it stays unknown.
const LONGEST_START: usize = 4 << 10;

/// The socket with its conversation.
pub(crate) struct Connection {
    wire: Wire,
    session: Session,
    /// Whose share of the byte budget its requests use.
    source: IpAddr,
    /// Where clients have to prove who they are, until when this one has time for it.
    proof: Option<Instant>,
    shared: Arc<Shared>,
    drain: watch::Receiver<bool>,
    /// Since when it is to end.
    draining: Option<Instant>,
    /// Whether a frame has come: before, its bytes may be of another protocol.
    spoken: bool,
}

/// What the socket gave.
enum Incoming {
    Frame(Bytes),
    /// Read past, not kept.
    PushTooLarge {
        /// Its first bytes.
        start: Vec<u8>,
        len: usize,
    },
}

/// How long to wait for bytes.
struct Patience {
    until: Instant,
    /// Between requests, the client's rhythm says how much of it is left when the drain begins.
    between: Option<Rhythm>,
}

/// Why no bytes came.
enum Nothing {
    Eof,
    Late,
    Error(io::Error),
}

impl Connection {
    pub(crate) fn new(opened: Opened, presence: &Presence, drain: watch::Receiver<bool>) -> Self {
        let shared = presence.shared().clone();
        let session = Session::new(&shared, presence.id(), presence.peer(), &opened);
        let (source, since) = (presence.peer().ip(), presence.since());
        let proof = shared.config.auth.as_ref().and_then(|_| since.checked_add(shared.config.slow_frame));
        Self { wire: opened.wire, session, source, proof, shared, drain, draining: None, spoken: false }
    }

    /// Answers requests until something ends it.
    pub(crate) async fn converse(mut self) -> End {
        let end = loop {
            if let Err(end) = self.one_request().await {
                break end;
            }
        };
        if let End::WrongProtocol(wrong) = &end {
            self.wire.turn_away(wrong).await;
        } else if end.is_violation() {
            self.wire.linger().await;
        } else {
            self.wire.leave().await;
        }
        end
    }

    async fn one_request(&mut self) -> Result<(), End> {
        let mut hold = self.shared.budget.hold_for(self.source);
        let incoming = self.next(&mut hold).await?;
        self.spoken = true;
        let (received_at, started) = (SystemTime::now(), Instant::now());
        let (answer, size) = match incoming {
            Incoming::Frame(frame) => {
                let answer = self.session.answer(&frame, received_at, &mut hold).await;
                (answer.map_err(End::Unanswerable)?, frame.len())
            }
            Incoming::PushTooLarge { start, len } => {
                let said = request::too_long(&start).expect("it is read past only if it is a push");
                (self.session.answer_too_large(&said, len).map_err(End::Unanswerable)?, len)
            }
        };
        self.write(&answer.frame).await?;
        self.shared.events.emit(Topic::ListenerRequest, || EventData::ListenerRequest {
            api: answer.api.name(),
            version: answer.version,
            size,
            duration: started.elapsed(),
        });
        answer.last.map_or(Ok(()), |why| Err(End::Unanswerable(why)))
    }

    async fn write(&mut self, answer: &[u8]) -> Result<(), End> {
        let limit = self.shared.config.slow_frame;
        match timeout(limit, self.wire.write(answer)).await {
            Ok(written) => written.map_err(End::Lost),
            Err(_) => Err(End::SlowReader(limit)),
        }
    }

    /// The next frame, whole.
    async fn next(&mut self, hold: &mut Hold) -> Result<Incoming, End> {
        let mut prefix = [0; 4];
        let mut room = prefix.as_mut_slice();
        self.wait_for_frame(&mut room).await?;
        let until = Instant::now() + self.shared.config.slow_frame;
        let mut patience = Patience { until, between: None };
        if self.draining.is_some() {
            patience.hurry();
        }
        while room.has_remaining_mut() {
            self.inside_frame(&mut room, &mut patience).await?;
        }
        match frame::length(prefix, self.shared.config.max_frame) {
            Ok(len) => self.fill(len, &mut patience, hold).await.map(Incoming::Frame),
            Err(bad @ BadLength::TooLong { len, .. }) if len <= LONGEST_SKIPPED => {
                let start = self.skip(len, &mut patience, hold).await?.ok_or(End::BadLength(bad))?;
                Ok(Incoming::PushTooLarge { start, len })
            }
            // Read as a length, the start of another protocol is always too long.
            Err(bad) if self.spoken => Err(End::BadLength(bad)),
            Err(bad) => Err(self.wrong_protocol(prefix, &mut patience).await.unwrap_or(End::BadLength(bad))),
        }
    }

    /// What the first bytes are where they are no frame, as far as anybody knows.
    async fn wrong_protocol(&mut self, prefix: [u8; 4], patience: &mut Patience) -> Option<End> {
        let mut first = prefix.to_vec();
        while recognise(&first) == Guess::Open {
            let wanted = LONGEST - first.len();
            self.inside_frame(&mut (&mut first).limit(wanted), patience).await.ok()?;
        }
        match recognise(&first) {
            Guess::Known(protocol) => Some(End::WrongProtocol(self.shared.wrong(protocol))),
            Guess::Open | Guess::Unknown => None,
        }
    }

    /// The first byte of a frame may take long to come; all that follow belong to it.
    async fn wait_for_frame(&mut self, room: &mut &mut [u8]) -> Result<(), End> {
        let idle = self.shared.config.idle;
        let unproven = End::Unproven(self.shared.config.slow_frame);
        self.proof = self.proof.filter(|_| !self.session.is_proven());
        // What is asked meanwhile does not prolong it, also where there is always something to read.
        if self.proof.is_some_and(|proof| Instant::now() >= proof) {
            return Err(unproven);
        }
        let (now, rhythm) = (Instant::now(), self.session.rhythm());
        let until = now + self.draining.map_or(idle, |since| rhythm.last_look(now, since));
        let until = self.proof.map_or(until, |proof| until.min(proof));
        let mut patience = Patience { until, between: Some(rhythm) };
        self.some(room, &mut patience).await.map_err(|nothing| match nothing {
            Nothing::Eof => End::Closed,
            Nothing::Late if self.draining.is_some() => End::Drained,
            Nothing::Late if self.proof == Some(until) => unproven,
            Nothing::Late => End::Idle(idle),
            Nothing::Error(error) => End::Lost(error),
        })
    }

    async fn fill(&mut self, len: usize, patience: &mut Patience, hold: &mut Hold) -> Result<Bytes, End> {
        let mut filling = Filling::new(len);
        while !filling.is_full() {
            let wants = filling.wants();
            if wants > 0 {
                self.arriving(patience).await?;
                patience.grow(hold, wants).await;
                filling.grow(wants);
            }
            self.inside_frame(&mut filling.room(), patience).await?;
        }
        Ok(filling.finish())
    }

    /// Reads past a frame that is too long to be kept. Gives its first bytes if it is a push.
    async fn skip(&mut self, len: usize, patience: &mut Patience, hold: &mut Hold) -> Result<Option<Vec<u8>>, End> {
        let mut first = [0; 8];
        let mut room = first.as_mut_slice();
        while room.has_remaining_mut() {
            self.inside_frame(&mut room, patience).await?;
        }
        if request::too_long(&first).is_none() {
            return Ok(None);
        }
        patience.grow(hold, LONGEST_START + SKIP_CHUNK).await;
        let mut start = first.to_vec();
        start.reserve_exact(LONGEST_START);
        while start.len() < len.min(LONGEST_START) {
            let wanted = len.min(LONGEST_START) - start.len();
            self.inside_frame(&mut (&mut start).limit(wanted), patience).await?;
        }
        let mut left = len.saturating_sub(start.len());
        let mut waste = Vec::with_capacity(SKIP_CHUNK);
        while left > 0 {
            waste.clear();
            self.inside_frame(&mut (&mut waste).limit(left.min(SKIP_CHUNK)), patience).await?;
            left -= waste.len();
        }
        Ok(Some(start))
    }

    /// Waits until there is something to read, before memory is set aside for it.
    async fn arriving(&mut self, patience: &mut Patience) -> Result<(), End> {
        self.some(&mut (&mut Vec::new()).limit(0), patience).await.map_err(|nothing| self.inside(nothing))
    }

    async fn inside_frame(&mut self, into: &mut impl BufMut, patience: &mut Patience) -> Result<(), End> {
        self.some(into, patience).await.map_err(|nothing| self.inside(nothing))
    }

    fn inside(&self, nothing: Nothing) -> End {
        match nothing {
            Nothing::Eof => End::CutOff,
            Nothing::Late if self.draining.is_some() => End::SlowFrame(GRACE),
            Nothing::Late => End::SlowFrame(self.shared.config.slow_frame),
            Nothing::Error(error) => End::Lost(error),
        }
    }

    /// Reads at least one byte; into no room at all, waits until there is one.
    async fn some(&mut self, into: &mut impl BufMut, patience: &mut Patience) -> Result<(), Nothing> {
        loop {
            let Self { wire, drain, .. } = self;
            tokio::select! {
                biased;
                read = wire.read(into) => return match read {
                    Ok(0) => Err(Nothing::Eof),
                    Ok(_) => Ok(()),
                    Err(error) => Err(Nothing::Error(error)),
                },
                () = sleep_until(patience.until) => return Err(Nothing::Late),
                // The sender is gone only when the whole listener is being dropped.
                _ = drain.wait_for(|drain| *drain), if self.draining.is_none() => {
                    self.draining = Some(Instant::now());
                    patience.hurry();
                }
            }
        }
    }
}

impl Patience {
    fn hurry(&mut self) {
        let now = Instant::now();
        let left = self.between.as_ref().map_or(GRACE, |rhythm| rhythm.last_look(now, now));
        self.until = self.until.min(now + left);
    }

    /// Waits for room in the budget. That is our slowness, not the peer's: it does not count.
    async fn grow(&mut self, hold: &mut Hold, bytes: usize) {
        let asked = Instant::now();
        hold.grow(bytes).await;
        self.until += asked.elapsed();
    }
}
