//! Access control.
//!
//! In: a request and its [`AdminPeer`]. Out: the request with its [`Actor`], or an error response. Callers on the
//! socket are the user that runs the host. Callers on TCP must use a known host name; the paths below `/v1/` also
//! require the token, and a request from a page of another site is rejected. Never reveals the token.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::connections::AdminPeer;
use super::hosts::AllowedHosts;
use super::response::ApiError;
use super::token::AdminToken;
use barnabas_lifecycle::change::Actor;

/// The access rules.
#[derive(Clone, Debug)]
pub(super) struct AccessGuard {
    pub(super) hosts: AllowedHosts,
    /// If it is absent (with the reason), `/v1/` is available only on the socket.
    pub(super) token: Arc<Result<AdminToken, String>>,
}

/// Runs before every handler. Responses forbid caching and content sniffing.
pub(super) async fn check_access(
    State(guard): State<AccessGuard>,
    Extension(visitor): Extension<AdminPeer>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.authorize(visitor, &request) {
        Ok(actor) => {
            actor.map(|actor| request.extensions_mut().insert(actor));
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

impl AccessGuard {
    /// The actor of the request; `None` for public paths, which cannot change anything.
    fn authorize(&self, visitor: AdminPeer, request: &Request) -> Result<Option<Actor>, ApiError> {
        let peer = match visitor {
            AdminPeer::Socket { uid, pid } => return Ok(Some(Actor::Socket { uid, pid })),
            AdminPeer::Tcp(peer) => peer.to_string(),
        };
        self.hosts.check(request.uri(), request.headers()).map_err(ApiError::forbidden)?;
        if !is_v1(request.uri().path()) {
            return Ok(None);
        }
        self.hosts.check_origin(request.headers()).map_err(ApiError::forbidden)?;
        self.check_token(request.headers())?;
        Ok(Some(Actor::Token { peer }))
    }

    fn check_token(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let token = self.token.as_ref().as_ref().map_err(|why| {
            ApiError::unauthorized(format!(
                "this host accepts no token over TCP, because {why}; use its admin socket, whose path is `admin.socket` in \
                 its configuration"
            ))
        })?;
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let right = match (given.next().and_then(bearer), given.next()) {
            (Some(given), None) => token.matches(given),
            _ => false,
        };
        let words = format!("send the header `Authorization: Bearer` with the token from {}", token.file().display());
        if right { Ok(()) } else { Err(ApiError::unauthorized(words)) }
    }
}

/// Paths are matched literally, so no other notation of a path avoids this check.
fn is_v1(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
