//! What each path shows.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::StatusSource;
use super::hosts::Hosts;
use crate::event::metrics::Metrics;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The same page also reads as the format before OpenMetrics, and browsers show it.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Rooms {
    source: Arc<dyn StatusSource>,
    metrics: Arc<Metrics>,
}

pub(super) fn router(source: Arc<dyn StatusSource>, metrics: Arc<Metrics>, hosts: Hosts) -> Router {
    Router::new()
        .route("/metrics", get(numbers))
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(readiness))
        .route("/v1/status", get(status))
        .fallback(nothing)
        .layer(middleware::from_fn_with_state(hosts, guard))
        .with_state(Rooms { source, metrics })
}

/// Before anything else: whether the visitor may ask. After: nothing is kept or guessed at.
async fn guard(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    let mut response = match hosts.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => (StatusCode::FORBIDDEN, why + "\n").into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn numbers(State(rooms): State<Rooms>, headers: HeaderMap) -> Response {
    let mut accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let open = accepted.any(|value| value.contains("application/openmetrics-text"));
    let format = if open { OPEN_METRICS } else { PLAIN_METRICS };
    ([(CONTENT_TYPE, format)], rooms.metrics.encode()).into_response()
}

async fn readiness(State(rooms): State<Rooms>) -> Response {
    let plugins = rooms.source.plugins();
    match rooms.source.ready() {
        Ok(()) => page(StatusCode::OK, json!({ "ready": true, "plugins": plugins })),
        Err(reason) => {
            page(StatusCode::SERVICE_UNAVAILABLE, json!({ "ready": false, "reason": reason, "plugins": plugins }))
        }
    }
}

async fn status(State(rooms): State<Rooms>) -> Response {
    let (plugins, door) = (rooms.source.plugins(), rooms.source.door());
    page(StatusCode::OK, json!({ "version": env!("CARGO_PKG_VERSION"), "plugins": plugins, "door": door }))
}

async fn nothing() -> Response {
    let text = "nothing here; there are /metrics, /healthz, /readyz and /v1/status\n";
    (StatusCode::NOT_FOUND, text).into_response()
}

fn page(status: StatusCode, body: Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
