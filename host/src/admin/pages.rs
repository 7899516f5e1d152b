//! What can be asked: one table of paths, and the pages that only show something.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::guard::{AccessGuard, check_access};
use super::response::{ApiError, json_response};
use super::{AdminOps, StatusSource, artifacts, changes, client_pages};
use crate::capability::log::GuestLogLine;
use crate::event::metrics::HostMetrics;
use crate::plugin::NOT_OFFERED;
use crate::units::unix_seconds;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The same page also reads as the format before OpenMetrics, and browsers show it.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The description of all of it, for machines.
pub(super) const OPEN_API: &str = include_str!("openapi.json");
/// How many entries of the audit log are shown to those who name no number, and at most.
const AUDIT: (usize, usize) = (100, 10_000);

/// What the pages look at and act on.
#[derive(Clone)]
pub(super) struct AdminContext {
    pub(super) source: Arc<dyn StatusSource>,
    pub(super) ops: Arc<dyn AdminOps>,
    pub(super) metrics: Arc<HostMetrics>,
    /// One artifact is taken at a time, since each is held in memory until it is whole.
    pub(super) uploads: Arc<Semaphore>,
}

impl AdminContext {
    pub(super) fn new(source: Arc<dyn StatusSource>, office: Arc<dyn AdminOps>, metrics: Arc<HostMetrics>) -> Self {
        Self { source, ops: office, metrics, uploads: Arc::new(Semaphore::new(1)) }
    }
}

/// A plugin's name, from the path.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

/// Method, path and handler of everything that there is.
pub(super) fn table() -> Vec<(&'static str, &'static str, MethodRouter<AdminContext>)> {
    vec![
        ("get", "/metrics", get(metrics)),
        ("get", "/healthz", get("ok\n")),
        ("get", "/readyz", get(readiness)),
        ("get", "/v1/status", get(status)),
        ("get", "/v1/plugins", get(plugins)),
        ("get", "/v1/plugins/{name}", get(plugin)),
        ("get", "/v1/plugins/{name}/logs", get(logs)),
        ("get", "/v1/clients", get(client_pages::list)),
        ("get", "/v1/clients/{id}", get(client_pages::describe)),
        ("get", "/v1/audit", get(audit)),
        ("get", "/v1/openapi.json", get(([(CONTENT_TYPE, "application/json")], OPEN_API))),
        ("post", "/v1/artifacts", post(artifacts::upload)),
        ("post", "/v1/plugins/{name}/load", post(changes::load)),
        ("post", "/v1/plugins/{name}/swap", post(changes::swap)),
        ("post", "/v1/plugins/{name}/rollback", post(changes::rollback)),
        ("post", "/v1/plugins/{name}/keep", post(changes::keep)),
        ("post", "/v1/plugins/{name}/retry", post(changes::retry)),
        ("post", "/v1/plugins/{name}/pause", post(changes::pause)),
        ("post", "/v1/plugins/{name}/resume", post(changes::resume)),
        ("post", "/v1/plugins/{name}/remove", post(changes::remove)),
        ("post", "/v1/plugins/{name}/abort", post(changes::abort)),
        ("post", "/v1/reconcile", post(changes::reconcile)),
    ]
}

pub(super) fn router(rooms: AdminContext, guarded: AccessGuard) -> Router {
    let router = table().into_iter().fold(Router::new(), |router, (_, path, page)| router.route(path, page));
    router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(guarded, check_access))
        .with_state(rooms)
}

async fn metrics(State(rooms): State<AdminContext>, headers: HeaderMap) -> Response {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let open = accepted.any(|value| value.contains("application/openmetrics-text"));
    let format = if open { OPEN_METRICS } else { PLAIN_METRICS };
    ([(CONTENT_TYPE, format)], rooms.metrics.encode()).into_response()
}

async fn readiness(State(rooms): State<AdminContext>) -> Response {
    // Names and states alone: whoever wants to know more says who he is.
    let all = rooms.source.plugins();
    let short = |plugin: &Value| json!({ "name": plugin.get("name"), "state": plugin.get("state") });
    let plugins: Vec<Value> = all.as_array().into_iter().flatten().map(short).collect();
    match rooms.source.ready() {
        // Ready all the same: a balancer that waited for a receiver would leave clients without a broker to look at.
        Ok(()) if plugins.is_empty() => {
            json_response(StatusCode::OK, &json!({ "ready": true, "warning": NOT_OFFERED, "plugins": plugins }))
        }
        Ok(()) => json_response(StatusCode::OK, &json!({ "ready": true, "plugins": plugins })),
        Err(reason) => json_response(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "ready": false, "reason": reason, "plugins": plugins }),
        ),
    }
}

async fn status(State(rooms): State<AdminContext>) -> Response {
    let (plugins, door) = (rooms.source.plugins(), rooms.source.ingress());
    json_response(StatusCode::OK, &json!({ "version": env!("CARGO_PKG_VERSION"), "plugins": plugins, "door": door }))
}

async fn plugins(State(rooms): State<AdminContext>) -> Response {
    json_response(StatusCode::OK, &rooms.source.plugins())
}

async fn plugin(State(rooms): State<AdminContext>, Name(name): Name) -> Result<Response, ApiError> {
    let plugin = rooms.ops.describe(&name).ok_or_else(|| unknown(&name))?;
    Ok(json_response(StatusCode::OK, &plugin))
}

async fn logs(State(rooms): State<AdminContext>, Name(name): Name) -> Result<Response, ApiError> {
    let lines = rooms.ops.logs(&name).ok_or_else(|| {
        ApiError::not_found(format!(
            "no plugin `{name}` serves, so there are no lines of it; see GET /v1/plugins/{name}"
        ))
    })?;
    let lines: Vec<_> = lines.iter().map(line).collect();
    Ok(json_response(StatusCode::OK, &json!({ "lines": lines })))
}

fn line(line: &GuestLogLine) -> Value {
    let at = unix_seconds(&line.at, serde_json::value::Serializer).unwrap_or_default();
    json!({ "at_unix_seconds": at, "generation": line.generation, "level": line.level, "text": line.text })
}

async fn audit(State(rooms): State<AdminContext>, uri: Uri) -> Result<Response, ApiError> {
    let last = last(uri.query().unwrap_or_default())?;
    let read = tokio::task::spawn_blocking(move || rooms.ops.audit(last)).await;
    let entries = read.map_err(|_| ApiError::internal("the host broke while it read the audit log"))?;
    let entries = entries.map_err(ApiError::internal)?;
    Ok(json_response(StatusCode::OK, &json!({ "entries": entries })))
}

/// The one thing that a query may say.
fn last(query: &str) -> Result<usize, ApiError> {
    let mut last = AUDIT.0;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let number =
            pair.strip_prefix("last=").and_then(|text| text.parse().ok()).filter(|n| (1..=AUDIT.1).contains(n));
        last = number.ok_or_else(|| {
            ApiError::bad_request(format!("`{pair}` is no query of this page; write `last=` and 1 to {}", AUDIT.1))
        })?;
    }
    Ok(last)
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no plugin `{name}`; `barnabas plugin list` shows all of them"))
}

async fn not_found() -> ApiError {
    ApiError::not_found("nothing here; there are /metrics, /healthz, /readyz, and what /v1/openapi.json describes")
}

async fn wrong_method(uri: Uri) -> ApiError {
    ApiError::method_not_allowed(format!("{} does not know this method; see /v1/openapi.json", uri.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_how_many() {
        assert_eq!((last("").unwrap(), last("last=7").unwrap()), (AUDIT.0, 7));
        for query in ["last=", "last=0", "last=10001", "last=-1", "first=3", "last"] {
            assert!(last(query).is_err(), "{query}");
        }
    }
}
