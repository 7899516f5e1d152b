//! SASL authentication of a connection: which requests are admitted before and after it.
//!
//! In: the session's requests, and the time. Out: whether a request is admitted, and the responses to the SASL
//! requests. A listener without authentication admits every request. Bounded: one attempt at a time, and a failed
//! attempt closes the connection. A failure is answered after a delay and without its cause, and an authenticated
//! client may start the next attempt a second after the last one; neither wait occupies a thread. Before authentication
//! only ApiVersions and the two SASL requests are admitted, and after the session has expired only the SASL requests
//! (KIP-368).

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

/// The first version of SaslHandshake after which tokens are sent in SaslAuthenticate requests.
const FIRST_SUPPORTED_VERSION: i16 = 1;
/// The shortest time between two attempts of an authenticated client (KIP-368 has the same second).
const REAUTHENTICATION_INTERVAL: Duration = Duration::from_secs(1);

/// The authentication state of one connection.
pub(crate) struct Authentication {
    /// `None` admits every request.
    auth: Option<Arc<Auth>>,
    attempt: Option<SaslExchange>,
    authenticated: Option<AuthenticatedClient>,
    /// When an authenticated client may authenticate again: checking a password costs milliseconds.
    not_before: Option<Instant>,
}

/// The principal, and when its session expires.
struct AuthenticatedClient {
    principal: Arc<str>,
    until: Option<Instant>,
}

impl Authentication {
    pub(crate) fn new(auth: Option<Arc<Auth>>) -> Self {
        Self { auth, attempt: None, authenticated: None, not_before: None }
    }

    /// Whether the SASL requests are advertised.
    pub(crate) fn is_required(&self) -> bool {
        self.auth.is_some()
    }

    /// The authenticated principal (`User:alice`).
    pub(crate) fn principal(&self) -> Option<&Arc<str>> {
        self.authenticated.as_ref().map(|proven| &proven.principal)
    }

    /// Whether this request is admitted.
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

    /// Starts an attempt; returns the error code and the enabled mechanisms. During another attempt it ends that one.
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
        // Delayed and not refused: a client with short sessions did nothing wrong.
        if let (Some(_), Some(again)) = (&self.authenticated, self.not_before) {
            sleep_until(again).await;
        }
        self.not_before = Instant::now().checked_add(REAUTHENTICATION_INTERVAL);
        self.attempt = Some(SaslExchange::begin(chosen));
        (api::NONE, enabled)
    }

    /// Handles one token of the attempt: returns the response and, if the attempt failed, why the connection closes
    /// after it.
    pub(crate) async fn authenticate(
        &mut self,
        token: Bytes,
        now: SystemTime,
        log_limiter: &LogLimiter,
    ) -> Result<(SaslReply, Option<Unanswerable>), Unanswerable> {
        let (Some(auth), Some(attempt)) = (self.auth.clone(), self.attempt.take()) else {
            let message = Some("SaslAuthenticate must follow a SaslHandshake that was answered without an error");
            return Ok((SaslReply { error: api::ILLEGAL_SASL_STATE, message, ..SaslReply::default() }, None));
        };
        // The client gets no response to an internal error: it then connects again, while it would treat a failed
        // authentication as final.
        let step = auth.advance(attempt, token, now).await.map_err(|fault| {
            if let Some(suppressed) = log_limiter.permit() {
                tracing::error!(suppressed, "internal error while authenticating a client: {fault}");
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

    /// A connection keeps its first principal.
    fn complete(&mut self, name: &str, life: Option<Duration>) -> Result<(), AuthFailure> {
        let principal = format!("User:{name}");
        if self.principal().is_some_and(|before| **before != *principal) {
            return Err(AuthFailure::PrincipalChanged);
        }
        // A lifetime beyond the clock's range is unlimited.
        let until = life.and_then(|life| Instant::now().checked_add(life));
        self.authenticated = Some(AuthenticatedClient { principal: principal.into(), until });
        Ok(())
    }
}

/// At least 1, since 0 means unlimited.
fn millis(life: Duration) -> i64 {
    i64::try_from(life.as_millis()).unwrap_or(i64::MAX).max(1)
}
