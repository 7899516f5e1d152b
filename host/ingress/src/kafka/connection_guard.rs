//! A guard for each connection, which reports its start, and its end with the reason, however it ends.
//!
//! The end is reported to the intake, to the listeners of events, and to the log: as a rate-limited warning if the peer
//! violated the protocol or a limit.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ListenerContext;
use super::connection_limit::ConnectionPlace;
use super::setup::SetupError;
use crate::protocol::WrongProtocol;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::frame::BadLength;
use barnabas_kafka_wire::request::RequestError;
use barnabas_pipeline::event::{EventData, Topic};
use barnabas_pipeline::push::ConnectionId;

/// Why a connection closed.
#[derive(Debug)]
pub(crate) enum CloseReason {
    /// The peer closed between requests.
    Closed,
    /// The peer closed inside a frame.
    ClosedMidFrame,
    Lost(io::Error),
    Idle(Duration),
    SlowFrame(Duration),
    SlowReader(Duration),
    /// The connection was not ready for Kafka requests.
    SetupFailed(SetupError),
    BadLength(BadLength),
    WrongProtocol(WrongProtocol),
    Unanswerable(Unanswerable),
    TooManyConnections(usize),
    /// Its source has this many other connections.
    SourceOverShare(usize),
    /// The client did not authenticate within this time.
    AuthenticationTimeout(Duration),
    Drained,
    /// The connection's task was cancelled.
    Aborted,
}

/// Why a request closes its connection: Kafka's protocol has no response to it, or the response was the last one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswerable {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("{} request before authentication; set the client's `sasl.mechanism` and `security.protocol`", .0.name())]
    Unauthenticated(Api),
    #[error("{} request after the SASL session expired; the client did not reauthenticate", .0.name())]
    SessionExpired(Api),
    /// Answered with an error, which is the connection's last answer.
    #[error("authentication failed: {0}")]
    AuthenticationFailed(barnabas_auth::AuthFailure),
    #[error("internal error; see the preceding log entry")]
    Internal,
}

impl CloseReason {
    /// Whether the operator should see it.
    fn is_warning(&self) -> bool {
        self.is_violation()
            || matches!(self, Self::SlowFrame(_) | Self::SlowReader(_) | Self::SetupFailed(_))
            || matches!(self, Self::TooManyConnections(_) | Self::SourceOverShare(_) | Self::AuthenticationTimeout(_))
    }

    pub(crate) fn is_violation(&self) -> bool {
        matches!(self, Self::BadLength(_) | Self::Unanswerable(_) | Self::WrongProtocol(_))
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the client"),
            Self::ClosedMidFrame => f.write_str("closed by the client inside a frame"),
            Self::Lost(error) => write!(f, "connection lost: {error}"),
            Self::Idle(limit) => write!(f, "no request for {limit:?}"),
            Self::SlowFrame(limit) => write!(f, "timed out after {limit:?} reading a frame"),
            Self::SlowReader(limit) => write!(f, "timed out after {limit:?} writing an answer"),
            Self::SetupFailed(failure) => write!(f, "{failure}"),
            Self::BadLength(bad) => write!(f, "{bad}"),
            Self::WrongProtocol(wrong) => write!(f, "{wrong}"),
            Self::Unanswerable(why) => write!(f, "{why}"),
            Self::TooManyConnections(cap) => write!(f, "connection limit of {cap} reached"),
            Self::SourceOverShare(share) => {
                write!(
                    f,
                    "the source has {share} connections, its share while more than half of the connection limit is in use"
                )
            }
            Self::AuthenticationTimeout(limit) => write!(f, "authentication timed out after {limit:?}"),
            Self::Drained => f.write_str("the host is shutting down"),
            Self::Aborted => f.write_str("cancelled by the drain timeout or an internal error"),
        }
    }
}

/// An open connection, from accept to its end.
pub(crate) struct ConnectionGuard {
    shared: Arc<ListenerContext>,
    id: ConnectionId,
    peer: SocketAddr,
    accepted_at: Instant,
    /// Released together with the guard.
    place: Option<ConnectionPlace>,
    close_reason: CloseReason,
}

impl ConnectionGuard {
    pub(crate) fn open(shared: &Arc<ListenerContext>, id: ConnectionId, peer: SocketAddr) -> Self {
        tracing::debug!(listener = %shared.config.name, connection = id.0, %peer, "connected");
        shared.events.emit(Topic::ListenerConnect, || EventData::ListenerConnect {
            listener: shared.config.name.clone(),
            connection: id,
            peer: peer.to_string(),
        });
        Self {
            shared: shared.clone(),
            id,
            peer,
            accepted_at: Instant::now(),
            place: None,
            close_reason: CloseReason::Aborted,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<ListenerContext> {
        &self.shared
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// When the connection was accepted.
    pub(crate) fn accepted_at(&self) -> Instant {
        self.accepted_at
    }

    /// Acquires a place within the connection limit. The place counts for the peer's address, unless that is a trusted
    /// proxy: then for no source until the proxy names the client.
    pub(crate) fn acquire_place(&mut self) -> Result<(), CloseReason> {
        self.place = Some(self.shared.connection_limit.acquire());
        let listed = self.shared.config.proxies.as_ref().is_some_and(|proxies| proxies.contains(self.peer.ip()));
        if listed { Ok(()) } else { self.claim_place() }
    }

    /// Sets the client's address, as named by a trusted proxy.
    pub(crate) fn set_source(&mut self, source: SocketAddr) -> Result<(), CloseReason> {
        self.peer = source;
        self.claim_place()
    }

    fn claim_place(&mut self) -> Result<(), CloseReason> {
        let (share, source) = (self.shared.connection_limit.share(), self.peer.ip());
        let crowded = self.place.as_mut().is_some_and(|place| !place.claim_for(source));
        if crowded { Err(CloseReason::SourceOverShare(share)) } else { Ok(()) }
    }

    pub(crate) fn close(mut self, end: CloseReason) {
        self.close_reason = end;
    }

    fn log(&self) {
        let (listener, connection, peer, reason) = (&self.shared.config.name, self.id.0, self.peer, &self.close_reason);
        let log_limiter = &self.shared.log_limiter;
        let suppressed = match self.close_reason {
            CloseReason::WrongProtocol(_) => log_limiter.permit_for(peer.ip()),
            _ if self.close_reason.is_warning() => log_limiter.permit(),
            _ => None,
        };
        match suppressed {
            Some(suppressed) => tracing::warn!(%listener, connection, %peer, suppressed, "connection closed: {reason}"),
            None => tracing::debug!(%listener, connection, %peer, "connection closed: {reason}"),
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.log();
        self.shared.intake.disconnected(self.id);
        self.shared.events.emit(Topic::ListenerDisconnect, || EventData::ListenerDisconnect {
            listener: self.shared.config.name.clone(),
            connection: self.id,
            reason: self.close_reason.to_string(),
        });
    }
}
