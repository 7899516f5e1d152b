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

use super::connection_guard::Unanswerable;
use crate::log_limiter::LogLimiter;
use barnabas_auth::{Auth, AuthFailure, CLIENT_MESSAGE, SaslExchange, SaslMechanism, SaslStep};
use barnabas_kafka_wire::api;
use barnabas_kafka_wire::api::Api;
use barnabas_kafka_wire::sasl::SaslReply;

/// From this version of SaslHandshake on tokens come in SaslAuthenticate.
const FIRST_SUPPORTED_VERSION: i16 = 1;
/// Shortest time from one attempt to the next of a client that is proven (KIP-368 has the same second).
const REAUTHENTICATION_INTERVAL: Duration = Duration::from_secs(1);

/// The gate.
pub(crate) struct Authentication {
    /// `None` lets everybody pass.
    auth: Option<Arc<Auth>>,
    attempt: Option<SaslExchange>,
    authenticated: Option<AuthenticatedClient>,
    /// Not before then may who is proven begin again: checking a password costs milliseconds.
    not_before: Option<Instant>,
}

/// Who it is, and until when.
struct AuthenticatedClient {
    principal: Arc<str>,
    until: Option<Instant>,
}

impl Authentication {
    pub(crate) fn new(auth: Option<Arc<Auth>>) -> Self {
        Self { auth, attempt: None, authenticated: None, not_before: None }
    }

    /// Whether SASL's requests are offered.
    pub(crate) fn is_required(&self) -> bool {
        self.auth.is_some()
    }

    /// Who was proven (`User:alice`).
    pub(crate) fn principal(&self) -> Option<&Arc<str>> {
        self.authenticated.as_ref().map(|proven| &proven.principal)
    }

    /// Whether this request may pass.
    pub(crate) fn admit(&self, api: Api, now: Instant) -> Result<(), Unanswerable> {
        match (&self.auth, &self.authenticated, api) {
            (None, ..) | (.., Api::SaslHandshake | Api::SaslAuthenticate) | (_, None, Api::ApiVersions) => Ok(()),
            (Some(_), None, _) => Err(Unanswerable::Unauthenticated(api)),
            (Some(_), Some(AuthenticatedClient { until: Some(until), .. }), _) if now >= *until => {
                Err(Unanswerable::SessionExpired(api))
            }
            (Some(_), Some(_), _) => Ok(()),
        }
    }

    /// Begins an attempt: the error code, and the mechanisms to tell. In the middle of another it ends that.
    pub(crate) async fn handshake(&mut self, version: i16, mechanism: &[u8]) -> (i16, &[SaslMechanism]) {
        let Some(auth) = &self.auth else { return (api::ILLEGAL_SASL_STATE, &[]) };
        let enabled = &auth.settings().mechanisms;
        if self.attempt.take().is_some() {
            return (api::ILLEGAL_SASL_STATE, enabled);
        }
        if version < FIRST_SUPPORTED_VERSION {
            return (api::UNSUPPORTED_VERSION, enabled);
        }
        let Some(chosen) = auth.mechanism(mechanism) else { return (api::UNSUPPORTED_SASL_MECHANISM, enabled) };
        // Late, not refused: a client whose sessions are short did nothing wrong.
        if let (Some(_), Some(again)) = (&self.authenticated, self.not_before) {
            sleep_until(again).await;
        }
        self.not_before = Instant::now().checked_add(REAUTHENTICATION_INTERVAL);
        self.attempt = Some(SaslExchange::begin(chosen));
        (api::NONE, enabled)
    }

    /// Takes a token of the attempt: what is answered, and where it failed why the connection ends after that.
    pub(crate) async fn authenticate(
        &mut self,
        token: Bytes,
        now: SystemTime,
        log_limiter: &LogLimiter,
    ) -> Result<(SaslReply, Option<Unanswerable>), Unanswerable> {
        let (Some(auth), Some(attempt)) = (self.auth.clone(), self.attempt.take()) else {
            let message = Some("SaslAuthenticate is due after SaslHandshake, where that was answered without an error");
            return Ok((SaslReply { error: api::ILLEGAL_SASL_STATE, message, ..SaslReply::default() }, None));
        };
        // Of a fault of ours the client hears nothing: it connects again, where a failure would be its last word.
        let step = auth.advance(attempt, token, now).await.map_err(|fault| {
            if let Some(suppressed) = log_limiter.permit() {
                tracing::error!(suppressed, "a client could not be authenticated: {fault}");
            }
            Unanswerable::Internal
        })?;
        let failure = match step {
            SaslStep::Continue { answer, exchange } => {
                self.attempt = Some(exchange);
                return Ok((SaslReply { token: answer, ..SaslReply::default() }, None));
            }
            SaslStep::Authenticated { answer, name, lifetime: life } => {
                let life = life.into_iter().chain(auth.settings().max_session).min();
                match self.complete(&name, life) {
                    Ok(()) => {
                        let lifetime = life.map_or(0, millis);
                        return Ok((SaslReply { token: answer, lifetime, ..SaslReply::default() }, None));
                    }
                    Err(failure) => failure,
                }
            }
            SaslStep::Refused(failure) => failure,
        };
        sleep(auth.settings().failure_delay).await;
        let reply =
            SaslReply { error: api::SASL_AUTHENTICATION_FAILED, message: Some(CLIENT_MESSAGE), ..SaslReply::default() };
        Ok((reply, Some(Unanswerable::AuthenticationFailed(failure))))
    }

    /// A connection stays with whom it began.
    fn complete(&mut self, name: &str, life: Option<Duration>) -> Result<(), AuthFailure> {
        let principal = format!("User:{name}");
        if self.principal().is_some_and(|before| **before != *principal) {
            return Err(AuthFailure::PrincipalChanged);
        }
        // A life beyond the clock's range is one without end.
        let until = life.and_then(|life| Instant::now().checked_add(life));
        self.authenticated = Some(AuthenticatedClient { principal: principal.into(), until });
        Ok(())
    }
}

/// At least one: 0 would be without end.
fn millis(life: Duration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX).max(1)
}
