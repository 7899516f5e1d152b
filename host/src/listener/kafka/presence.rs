//! A connection's being here: told at its start, and at its end with the reason, however it ends.
//!
//! The end is told to the intake, to whoever listens to events, and to the log: loud where a peer breaks the rules,
//! and then only so often.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::frame::BadLength;
use super::opening::Failure;
use super::request::Unanswerable;
use crate::event::{Payload, Topic};
use crate::push::ConnectionId;

/// How a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// By the peer, between requests.
    Closed,
    /// By the peer, inside a frame.
    CutOff,
    Lost(io::Error),
    Idle(Duration),
    SlowFrame(Duration),
    SlowReader(Duration),
    /// Before it could speak.
    Opening(Failure),
    BadLength(BadLength),
    Unanswerable(Unanswerable),
    Full(usize),
    Drained,
    /// Its task was dropped.
    Aborted,
}

impl End {
    /// Something an operator should hear of.
    fn is_notable(&self) -> bool {
        self.is_violation()
            || matches!(self, Self::SlowFrame(_) | Self::SlowReader(_) | Self::Full(_) | Self::Opening(_))
    }

    pub(crate) fn is_violation(&self) -> bool {
        matches!(self, Self::BadLength(_) | Self::Unanswerable(_) | Self::Opening(Failure::UnlistedProxy))
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the client"),
            Self::CutOff => f.write_str("closed by the client inside a frame"),
            Self::Lost(error) => write!(f, "connection lost: {error}"),
            Self::Idle(limit) => write!(f, "no request for {limit:?}"),
            Self::SlowFrame(limit) => write!(f, "a frame was not complete after {limit:?}"),
            Self::SlowReader(limit) => write!(f, "an answer was not taken within {limit:?}"),
            Self::Opening(failure) => write!(f, "{failure}"),
            Self::BadLength(bad) => write!(f, "{bad}"),
            Self::Unanswerable(why) => write!(f, "{why}"),
            Self::Full(cap) => write!(f, "all {cap} connections are in use"),
            Self::Drained => f.write_str("the host is shutting down"),
            Self::Aborted => f.write_str("ended early, by the drain deadline or a fault"),
        }
    }
}

/// A connection's being here, from accept to its end.
pub(crate) struct Presence {
    shared: Arc<Shared>,
    id: ConnectionId,
    peer: SocketAddr,
    end: End,
}

impl Presence {
    pub(crate) fn enter(shared: &Arc<Shared>, id: ConnectionId, peer: SocketAddr) -> Self {
        tracing::debug!(listener = %shared.config.name, connection = id.0, %peer, "connected");
        shared.events.emit(Topic::ListenerConnect, || Payload::ListenerConnect {
            listener: shared.config.name.clone(),
            connection: id,
            peer: peer.to_string(),
        });
        Self { shared: shared.clone(), id, peer, end: End::Aborted }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Somebody who is listed said where the client is.
    pub(crate) fn is_of(&mut self, source: SocketAddr) {
        self.peer = source;
    }

    pub(crate) fn leave(mut self, end: End) {
        self.end = end;
    }

    fn log(&self) {
        let (listener, connection, peer, reason) = (&self.shared.config.name, self.id.0, self.peer, &self.end);
        match self.end.is_notable().then(|| self.shared.complaints.may_say()).flatten() {
            Some(unsaid) => tracing::warn!(%listener, connection, %peer, unsaid, "connection closed: {reason}"),
            None => tracing::debug!(%listener, connection, %peer, "connection closed: {reason}"),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.log();
        self.shared.intake.disconnected(self.id);
        self.shared.events.emit(Topic::ListenerDisconnect, || Payload::ListenerDisconnect {
            listener: self.shared.config.name.clone(),
            connection: self.id,
            reason: self.end.to_string(),
        });
    }
}
