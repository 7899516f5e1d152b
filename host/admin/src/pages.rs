//! The routing table, and the handlers that only read.

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
use crate::metrics::HostMetrics;
use barnabas_base::units::unix_seconds;
use barnabas_lifecycle::NOT_OFFERED;
use barnabas_runtime::capability::log::GuestLogLine;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The same text is also valid in the format that preceded OpenMetrics, and browsers display it.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
/// The OpenAPI description of all paths.
pub(super) const OPEN_API: &str = include_str!("openapi.json");
/// Number of audit log entries without a query parameter, and the maximum.
const AUDIT: (usize, usize) = (100, 10_000);

/// Handles for the handlers.
#[derive(Clone)]
pub(super) struct AdminContext {
    pub(super) source: Arc<dyn StatusSource>,
    pub(super) ops: Arc<dyn AdminOps>,
    pub(super) metrics: Arc<HostMetrics>,
    /// Allows one upload at a time, because an artifact is buffered in memory until it is complete.
    pub(super) uploads: Arc<Semaphore>,
}

impl AdminContext {
    pub(super) fn new(source: Arc<dyn StatusSource>, office: Arc<dyn AdminOps>, metrics: Arc<HostMetrics>) -> Self {
        Self { source, ops: office, metrics, uploads: Arc::new(Semaphore::new(1)) }
    }
}

/// The plugin name in the path.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name)).map_err(|error| ApiError::bad_request(error.body_text()))
    }
}

/// Method, path and handler of every route.
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

pub(super) fn router(context: AdminContext, guarded: AccessGuard) -> Router {
    let router = table().into_iter().fold(Router::new(), |router, (_, path, page)| router.route(path, page));
    router
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(guarded, check_access))
        .with_state(context)
}

async fn metrics(State(context): State<AdminContext>, headers: HeaderMap) -> Response {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let open = accepted.any(|value| value.contains("application/openmetrics-text"));
    let format = if open { OPEN_METRICS } else { PLAIN_METRICS };
    ([(CONTENT_TYPE, format)], context.metrics.encode()).into_response()
}

async fn readiness(State(context): State<AdminContext>) -> Response {
    // This path is public, so it shows only names and states.
    let all = context.source.plugins();
    let short = |plugin: &Value| json!({ "name": plugin.get("name"), "state": plugin.get("state") });
    let plugins: Vec<Value> = all.as_array().into_iter().flatten().map(short).collect();
    match context.source.ready() {
        // Reports ready also without receivers: a load balancer that waited for one would leave clients without a
        // broker.
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

async fn status(State(context): State<AdminContext>) -> Response {
    let (plugins, ingress) = (context.source.plugins(), context.source.ingress());
    json_response(
        StatusCode::OK,
        &json!({ "version": env!("CARGO_PKG_VERSION"), "plugins": plugins, "ingress": ingress }),
    )
}

async fn plugins(State(context): State<AdminContext>) -> Response {
    json_response(StatusCode::OK, &context.source.plugins())
}

async fn plugin(State(context): State<AdminContext>, Name(name): Name) -> Result<Response, ApiError> {
    let plugin = context.ops.describe(&name).ok_or_else(|| unknown(&name))?;
    Ok(json_response(StatusCode::OK, &plugin))
}

async fn logs(State(context): State<AdminContext>, Name(name): Name) -> Result<Response, ApiError> {
    let lines = context.ops.logs(&name).ok_or_else(|| {
        ApiError::not_found(format!("no plugin `{name}` serves, so it has no log lines; see GET /v1/plugins/{name}"))
    })?;
    let lines: Vec<_> = lines.iter().map(line).collect();
    Ok(json_response(StatusCode::OK, &json!({ "lines": lines })))
}

fn line(line: &GuestLogLine) -> Value {
    let at = unix_seconds(&line.at, serde_json::value::Serializer).unwrap_or_default();
    json!({ "at_unix_seconds": at, "generation": line.generation, "level": line.level, "text": line.text })
}

async fn audit(State(context): State<AdminContext>, uri: Uri) -> Result<Response, ApiError> {
    let last = last(uri.query().unwrap_or_default())?;
    let read = tokio::task::spawn_blocking(move || context.ops.audit(last)).await;
    let entries = read.map_err(|_| ApiError::internal("the host failed while it read the audit log"))?;
    let entries = entries.map_err(ApiError::internal)?;
    Ok(json_response(StatusCode::OK, &json!({ "entries": entries })))
}

/// Parses the only query parameter.
fn last(query: &str) -> Result<usize, ApiError> {
    let mut last = AUDIT.0;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let number =
            pair.strip_prefix("last=").and_then(|text| text.parse().ok()).filter(|n| (1..=AUDIT.1).contains(n));
        last = number.ok_or_else(|| {
            ApiError::bad_request(format!("`{pair}` is not a valid query parameter; use `last=` with 1 to {}", AUDIT.1))
        })?;
    }
    Ok(last)
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no plugin `{name}`; `barnabas plugin list` shows all plugins"))
}

async fn not_found() -> ApiError {
    ApiError::not_found("no such path; the paths are /metrics, /healthz, /readyz, and those in /v1/openapi.json")
}

async fn wrong_method(uri: Uri) -> ApiError {
    ApiError::method_not_allowed(format!("{} does not support this method; see /v1/openapi.json", uri.path()))
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
