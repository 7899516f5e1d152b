//! Responses as the OTLP specification defines them: `ExportMetricsServiceResponse` for an accepted request,
//! `google.rpc.Status` for a refused one, in the media type of the request.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use barnabas_otlp::message::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse, Status};
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use prost::Message as _;

use barnabas_pipeline::admission::Refusal;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// Seconds after which a refused request is worth a retry.
const RETRY_AFTER_SECONDS: u64 = 1;

/// An accepted request.
#[derive(Debug)]
pub(super) enum ExportOutcome {
    /// Everything was accepted. The message is empty, and so is the body.
    Accepted,
    /// Everything was accepted, with a warning for the sender's log.
    Warning(&'static str),
}

impl ExportOutcome {
    /// In the request's media type, like errors.
    pub(super) fn into_response(self, json: bool) -> Response {
        if json {
            return response_with(StatusCode::OK, JSON, self.to_json().to_string().into_bytes());
        }
        let partial_success = match self {
            Self::Accepted => None,
            Self::Warning(words) => {
                Some(ExportMetricsPartialSuccess { rejected_data_points: 0, error_message: words.to_owned() })
            }
        };
        let body = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
        response_with(StatusCode::OK, PROTOBUF, body)
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Accepted => serde_json::json!({}),
            Self::Warning(words) => serde_json::json!({ "partialSuccess": { "errorMessage": words } }),
        }
    }
}

/// A refused request, and what its sender can do.
#[derive(Debug)]
pub(super) struct ExportProblem {
    status: StatusCode,
    /// `google.rpc.Code`.
    code: i32,
    message: String,
    /// Seconds; only with statuses after which OTLP senders retry.
    retry_after: Option<u64>,
}

impl fmt::Display for ExportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ExportProblem {
    fn new(status: StatusCode, code: i32, message: String) -> Self {
        Self { status, code, message, retry_after: None }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn unsupported_content_type(given: &str) -> Self {
        let given = if given.is_empty() { "no content type" } else { given };
        let message =
            format!("{given}: send protobuf or JSON, with content type application/x-protobuf or application/json");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, message)
    }

    pub(super) fn unsupported_encoding(given: &str) -> Self {
        let message = format!("content encoding {given}: send gzip, zstd or none");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, message)
    }

    pub(super) fn too_large(cap: usize) -> Self {
        let message = format!("the body is larger than {cap} bytes: send smaller batches or compress them");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, 8, message)
    }

    pub(super) fn unreadable_body(why: &axum::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 3, format!("the body cannot be read: {why}"))
    }

    pub(super) fn body_timeout(limit: Duration) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, 4, format!("timed out after {} s reading the body", limit.as_secs_f32()))
    }

    pub(super) fn unavailable(why: &str) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, 14, format!("{why}: try again"));
        Self { retry_after: Some(RETRY_AFTER_SECONDS), ..problem }
    }

    pub(super) fn method_not_allowed(given: &Method) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, 12, format!("{given}: /v1/metrics accepts only POST"))
    }

    pub(super) fn unknown_path(path: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, 5, format!("{path}: this listener accepts metrics only, at /v1/metrics"))
    }

    /// In the request's media type: JSON for JSON, protobuf for everything else.
    pub(super) fn into_response(self, json: bool) -> Response {
        let mut response = if json {
            let body = serde_json::json!({ "code": self.code, "message": self.message });
            response_with(self.status, JSON, body.to_string().into_bytes())
        } else {
            let body = Status { code: self.code, message: self.message }.encode_to_vec();
            response_with(self.status, PROTOBUF, body)
        };
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => headers.insert(ALLOW, HeaderValue::from_static("POST")),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"))
            }
            _ => None,
        };
        response
    }
}

impl From<Refusal> for ExportProblem {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            Refusal::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, 8, message),
            Refusal::UnsupportedCodec(_) => Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, message),
            Refusal::TooSoon { interval_ms } => {
                let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, 8, message);
                Self { retry_after: Some(interval_ms.div_ceil(1000)), ..problem }
            }
            Refusal::OverQuota { .. } => {
                Self { retry_after: Some(60), ..Self::new(StatusCode::TOO_MANY_REQUESTS, 8, message) }
            }
            Refusal::InvalidRecord(_) | Refusal::InvalidRequest(_) | Refusal::UnknownSubscription { .. } => {
                Self::new(StatusCode::BAD_REQUEST, 3, message)
            }
        }
    }
}

fn response_with(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
