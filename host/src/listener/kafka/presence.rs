//! A connection's being here: told at its start, and at its end with the reason, however it ends.
//!
//! The end is told to the intake, to whoever listens to events, and to the log: loud where a peer breaks the rules,
//! and then only so often.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use super::frame::BadLength;
use super::opening::Failure;
use super::request::RequestError;
use super::slots::Place;
use crate::auth;
use crate::event::{EventData, Topic};
use crate::kafka::api::Api;
use crate::listener::protocol::WrongProtocol;
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
    WrongProtocol(WrongProtocol),
    Unanswerable(Unanswerable),
    Full(usize),
    /// Its source has so many others.
    Crowded(usize),
    /// It did not say who it is, or not truly, for so long.
    Unproven(Duration),
    Drained,
    /// Its task was dropped.
    Aborted,
}

/// Why a request ends its connection: Kafka's protocol has no answer to it, or the answer was the last one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswerable {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{} request before authentication; set the client's `sasl.mechanism` and `security.protocol`", .0.name())]
    Unauthenticated(Api),
    #[error("{} request after the end of the session; the client did not authenticate again", .0.name())]
    SessionExpired(Api),
    /// Answered, and the last of its connection.
    #[error("authentication failed: {0}")]
    AuthenticationFailed(auth::Failure),
    #[error("an internal error; see the log entry before this one")]
    Internal,
}

impl End {
    /// Something an operator should hear of.
    fn is_notable(&self) -> bool {
        self.is_violation()
            || matches!(self, Self::SlowFrame(_) | Self::SlowReader(_) | Self::Opening(_))
            || matches!(self, Self::Full(_) | Self::Crowded(_) | Self::Unproven(_))
    }

    pub(crate) fn is_violation(&self) -> bool {
        matches!(self, Self::BadLength(_) | Self::Unanswerable(_) | Self::WrongProtocol(_))
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
            Self::WrongProtocol(wrong) => write!(f, "{wrong}"),
            Self::Unanswerable(why) => write!(f, "{why}"),
            Self::Full(cap) => write!(f, "all {cap} connections are in use"),
            Self::Crowded(share) => {
                write!(f, "its source has {share} connections, the most while over half of all are in use")
            }
            Self::Unproven(limit) => write!(f, "the client did not prove who it is within {limit:?}"),
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
    since: Instant,
    /// Given back with the rest.
    place: Option<Place>,
    end: End,
}

impl Presence {
    pub(crate) fn enter(shared: &Arc<Shared>, id: ConnectionId, peer: SocketAddr) -> Self {
        tracing::debug!(listener = %shared.config.name, connection = id.0, %peer, "connected");
        shared.events.emit(Topic::ListenerConnect, || EventData::ListenerConnect {
            listener: shared.config.name.clone(),
            connection: id,
            peer: peer.to_string(),
        });
        Self { shared: shared.clone(), id, peer, since: Instant::now(), place: None, end: End::Aborted }
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

    /// When it was taken.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Takes one of the listener's places. It is of the peer's address, unless that is a listed load balancer: then of
    /// nobody until the balancer says whose.
    pub(crate) fn take_place(&mut self) -> Result<(), End> {
        self.place = Some(self.shared.slots.take());
        let listed = self.shared.config.proxies.as_ref().is_some_and(|proxies| proxies.list(self.peer.ip()));
        if listed { Ok(()) } else { self.own_place() }
    }

    /// Somebody who is listed said where the client is.
    pub(crate) fn is_of(&mut self, source: SocketAddr) -> Result<(), End> {
        self.peer = source;
        self.own_place()
    }

    fn own_place(&mut self) -> Result<(), End> {
        let (share, source) = (self.shared.slots.share(), self.peer.ip());
        let crowded = self.place.as_mut().is_some_and(|place| !place.is_of(source));
        if crowded { Err(End::Crowded(share)) } else { Ok(()) }
    }

    pub(crate) fn leave(mut self, end: End) {
        self.end = end;
    }

    fn log(&self) {
        let (listener, connection, peer, reason) = (&self.shared.config.name, self.id.0, self.peer, &self.end);
        let complaints = &self.shared.complaints;
        let unsaid = match self.end {
            End::WrongProtocol(_) => complaints.may_say_of(peer.ip()),
            _ if self.end.is_notable() => complaints.may_say(),
            _ => None,
        };
        match unsaid {
            Some(unsaid) => tracing::warn!(%listener, connection, %peer, unsaid, "connection closed: {reason}"),
            None => tracing::debug!(%listener, connection, %peer, "connection closed: {reason}"),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.log();
        self.shared.intake.disconnected(self.id);
        self.shared.events.emit(Topic::ListenerDisconnect, || EventData::ListenerDisconnect {
            listener: self.shared.config.name.clone(),
            connection: self.id,
            reason: self.end.to_string(),
        });
    }
}
