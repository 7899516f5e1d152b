//! Whether a visitor may ask.
//!
//! In: a request and its [`Visitor`]. Out: the request with the [`Actor`] it comes from, or a refusal. Those who come by
//! the socket are the host's own user. Those who come by TCP must call the endpoint by a name that it knows; what is
//! under `/v1/` they get only with the token, and not from a page of some other site. Never shows the token.

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
use crate::plugin::change::Actor;

/// What visitors are held against.
#[derive(Clone, Debug)]
pub(super) struct AccessGuard {
    pub(super) hosts: AllowedHosts,
    /// Without one, only the socket leads to `/v1/`; then in words why there is none.
    pub(super) token: Arc<Result<AdminToken, String>>,
}

/// Before anything else: whether the visitor may ask. After: nothing is kept or guessed at.
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
    /// Whoever may look only is nobody who could act.
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
                "this host takes no token by TCP, because {why}; ask by its admin socket, for which `admin.socket` in \
                 its configuration names a place"
            ))
        })?;
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let right = match (given.next().and_then(bearer), given.next()) {
            (Some(given), None) => token.matches(given),
            _ => false,
        };
        let words = format!("give `Authorization: Bearer` with the token in {}", token.file().display());
        if right { Ok(()) } else { Err(ApiError::unauthorized(words)) }
    }
}

/// Paths are matched as they are written, so no other spelling leads there.
fn is_v1(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
