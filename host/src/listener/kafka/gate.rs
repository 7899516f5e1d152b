//! The gate of a connection: what is answered before its client has proven who it is, and after.
//!
//! In: requests of the session, and the time. Out: whether one may pass, and the answers to SASL's own. On a listener
//! without authentication everything passes. Bounded: one attempt at a time, of which a failed one is the last. A
//! failure is told late and without a cause, and who is proven begins the next attempt a second after the last: waiting
//! holds no thread. Never lets another request through than
//! ApiVersions and SASL's two until somebody is proven, and none but SASL's once the session is over (KIP-368).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

use super::presence::Unanswerable;
use super::sasl::Reply;
use crate::auth::{Auth, Exchange, Failure, Mechanism, NEUTRAL, Step};
use crate::kafka::api::{self, Api};
use crate::listener::complaints::Complaints;

/// From this version of SaslHandshake on tokens come in SaslAuthenticate.
const SPOKEN: i16 = 1;
/// Shortest time from one attempt to the next of a client that is proven (KIP-368 has the same second).
const BETWEEN: Duration = Duration::from_secs(1);

/// The gate.
pub(crate) struct Gate {
    /// `None` lets everybody pass.
    auth: Option<Arc<Auth>>,
    attempt: Option<Exchange>,
    proven: Option<Proven>,
    /// Not before then may who is proven begin again: checking a password costs milliseconds.
    again: Option<Instant>,
}

/// Who it is, and until when.
struct Proven {
    principal: Arc<str>,
    until: Option<Instant>,
}

impl Gate {
    pub(crate) fn new(auth: Option<Arc<Auth>>) -> Self {
        Self { auth, attempt: None, proven: None, again: None }
    }

    /// Whether SASL's requests are offered.
    pub(crate) fn is_guarded(&self) -> bool {
        self.auth.is_some()
    }

    /// Who was proven (`User:alice`).
    pub(crate) fn principal(&self) -> Option<&Arc<str>> {
        self.proven.as_ref().map(|proven| &proven.principal)
    }

    /// Whether this request may pass.
    pub(crate) fn admit(&self, api: Api, now: Instant) -> Result<(), Unanswerable> {
        match (&self.auth, &self.proven, api) {
            (None, ..) | (.., Api::SaslHandshake | Api::SaslAuthenticate) | (_, None, Api::ApiVersions) => Ok(()),
            (Some(_), None, _) => Err(Unanswerable::Unauthenticated(api)),
            (Some(_), Some(Proven { until: Some(until), .. }), _) if now >= *until => {
                Err(Unanswerable::SessionExpired(api))
            }
            (Some(_), Some(_), _) => Ok(()),
        }
    }

    /// Begins an attempt: the error code, and the mechanisms to tell. In the middle of another it ends that.
    pub(crate) async fn handshake(&mut self, version: i16, mechanism: &[u8]) -> (i16, &[Mechanism]) {
        let Some(auth) = &self.auth else { return (api::ILLEGAL_SASL_STATE, &[]) };
        let enabled = &auth.settings().mechanisms;
        if self.attempt.take().is_some() {
            return (api::ILLEGAL_SASL_STATE, enabled);
        }
        if version < SPOKEN {
            return (api::UNSUPPORTED_VERSION, enabled);
        }
        let Some(chosen) = auth.mechanism(mechanism) else { return (api::UNSUPPORTED_SASL_MECHANISM, enabled) };
        // Late, not refused: a client whose sessions are short did nothing wrong.
        if let (Some(_), Some(again)) = (&self.proven, self.again) {
            sleep_until(again).await;
        }
        self.again = Instant::now().checked_add(BETWEEN);
        self.attempt = Some(Exchange::begin(chosen));
        (api::NONE, enabled)
    }

    /// Takes a token of the attempt: what is answered, and where it failed why the connection ends after that.
    pub(crate) async fn authenticate(
        &mut self,
        token: Bytes,
        now: SystemTime,
        complaints: &Complaints,
    ) -> Result<(Reply, Option<Unanswerable>), Unanswerable> {
        let (Some(auth), Some(attempt)) = (self.auth.clone(), self.attempt.take()) else {
            let message = Some("SaslAuthenticate is due after SaslHandshake, where that was answered without an error");
            return Ok((Reply { error: api::ILLEGAL_SASL_STATE, message, ..Reply::default() }, None));
        };
        // Of a fault of ours the client hears nothing: it connects again, where a failure would be its last word.
        let step = auth.take(attempt, token, now).await.map_err(|fault| {
            if let Some(unsaid) = complaints.may_say() {
                tracing::error!(unsaid, "a client could not be authenticated: {fault}");
            }
            Unanswerable::Internal
        })?;
        let failure = match step {
            Step::Next { answer, exchange } => {
                self.attempt = Some(exchange);
                return Ok((Reply { token: answer, ..Reply::default() }, None));
            }
            Step::Proven { answer, name, life } => {
                let life = life.into_iter().chain(auth.settings().max_session).min();
                match self.prove(&name, life) {
                    Ok(()) => {
                        let lifetime = life.map_or(0, millis);
                        return Ok((Reply { token: answer, lifetime, ..Reply::default() }, None));
                    }
                    Err(failure) => failure,
                }
            }
            Step::Refused(failure) => failure,
        };
        sleep(auth.settings().failure_delay).await;
        let reply = Reply { error: api::SASL_AUTHENTICATION_FAILED, message: Some(NEUTRAL), ..Reply::default() };
        Ok((reply, Some(Unanswerable::AuthenticationFailed(failure))))
    }

    /// A connection stays with whom it began.
    fn prove(&mut self, name: &str, life: Option<Duration>) -> Result<(), Failure> {
        let principal = format!("User:{name}");
        if self.principal().is_some_and(|before| **before != *principal) {
            return Err(Failure::SomebodyElse);
        }
        // A life beyond the clock's range is one without end.
        let until = life.and_then(|life| Instant::now().checked_add(life));
        self.proven = Some(Proven { principal: principal.into(), until });
        Ok(())
    }
}

/// At least one: 0 would be without end.
fn millis(life: Duration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX).max(1)
}
