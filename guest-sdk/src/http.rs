//! Outgoing HTTP requests (`wasi:http`). The host sends a request only to a destination that the operator granted.
//!
//! ```no_run
//! use std::time::Duration;
//! use barnabas_sdk::http;
//!
//! let response = http::Request::post("https://sink.example/v1/metrics")
//!     .header("content-type", "application/x-protobuf")
//!     .timeout(Duration::from_secs(10))
//!     .body(vec![1, 2, 3])
//!     .send()?;
//! response.outcome()?;
//! # Ok::<(), barnabas_sdk::ExportError>(())
//! ```
//!
//! [`Response::outcome`] maps the status to an outcome, and `?` converts an [`Error`] into an
//! [`ExportError`](crate::ExportError). For a sink whose status codes have another meaning, match on the response or
//! the error instead.
//!
//! [`Request::send`] blocks until the response is complete or the timeout expires. The timeout (10 s by default) is for
//! one request. The deadline (`[limits] deadline`, 30 s by default) is for the whole call of `export_metrics`: when it
//! expires, the host discards the instance and offers the batch again. So the timeouts of all requests for one batch
//! together must fit into the deadline.
//!
//! A plugin that sends no requests does not import `wasi:http` and needs no grant. In a native test,
//! [`testing::http::respond_with`](crate::testing) provides the responses.

pub(crate) mod invalid_request;
mod outcome;
mod reason;
mod text;
mod url;
#[cfg(target_arch = "wasm32")]
mod wasi;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use url::{InvalidUrl, Url};
#[cfg(target_arch = "wasm32")]
use wasi as host;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::http as host;

/// The default timeout of a request: 10 seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The default maximum size of a response body: 1 MiB.
pub const DEFAULT_MAX_RESPONSE: usize = 1 << 20;

/// A request. Build it, then [`send`](Self::send) it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The complete URL.
    pub url: String,
    /// The names and values of the headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body. The SDK sets `content-length` to its length.
    pub body: Vec<u8>,
    /// The maximum duration, from name resolution to the last byte of the response. With zero the request is not sent.
    pub timeout: Duration,
    /// The maximum size of the response body in bytes. A longer body is truncated.
    pub max_response: usize,
}

impl Request {
    /// A request with any method.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: DEFAULT_TIMEOUT,
            max_response: DEFAULT_MAX_RESPONSE,
        }
    }

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// A `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the maximum duration of the request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the maximum size of the response body.
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// Validates the URL, the method and the headers. It sends nothing and does not check the grants. Call it in
    /// [`start`](crate::Receiver::start) if a setting becomes a part of the URL or of a header.
    pub fn check(&self) -> Result<(), Error> {
        self.checked_url().and_then(|url| host::check(self, &url))
    }

    /// Sends the request and waits for the response. A response with any status is `Ok`.
    pub fn send(self) -> Result<Response, Error> {
        let url = self.checked_url()?;
        if self.timeout.is_zero() {
            return Err(
                Error::Timeout("the timeout is zero, so the request was not sent".to_owned()).with_destination(&url)
            );
        }
        let mut response = host::send(&self, &url).map_err(|error| error.with_destination(&url))?;
        response.destination = url.host_and_port();
        Ok(response)
    }

    fn checked_url(&self) -> Result<Url, Error> {
        let url = self.url.parse().map_err(|invalid: InvalidUrl| Error::InvalidRequest(invalid.to_string()))?;
        invalid_request::check(self)?;
        Ok(url)
    }

    /// The first value of the header with this name, ignoring case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// A response. In a test, [`testing::http::response`](crate::testing) creates one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The names, in lower case, and the values of the headers, in order. Invalid UTF-8 in a value is replaced.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it was received and up to the maximum size.
    pub body: Vec<u8>,
    /// Whether `body` is complete. It is false if the body was longer than the maximum size, or if the connection
    /// failed after the headers.
    pub complete: bool,
    /// The host and port that sent the response.
    pub destination: String,
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of the header with this name, ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The error message of the sink, for the operator: the first 300 characters of a body that is text, JSON or OTLP's
    /// `Status`, with or without gzip. From a JSON body it takes the field `message`, `error`, `detail` or similar, or
    /// else the whole body. The result is one line that is safe to print on a terminal.
    pub fn reason(&self) -> Option<String> {
        reason::reason(self)
    }

    /// The header `content-type` without its parameters, or an empty string if there is none.
    pub fn content_type(&self) -> &str {
        reason::media_type(self)
    }

    /// The body, decompressed if it is compressed with gzip. At most [`DEFAULT_MAX_RESPONSE`] bytes (or the length of
    /// the compressed body, if that is greater) are decompressed; corrupt data ends the result.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        reason::decoded_body(self)
    }

    /// The body as text. Invalid UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The request is not valid: its URL, its method or a header is wrong.
    InvalidRequest(String),
    /// The operator did not grant this destination to the plugin.
    Denied(String),
    /// The timeout expired; the text says during which step.
    Timeout(String),
    /// The destination could not be resolved or reached, or it closed the connection.
    Connect(String),
    /// The TLS handshake failed, or the certificate of the destination is not trusted.
    Tls(String),
    /// The response is not valid HTTP, or the host failed to process the request.
    Protocol(String),
}

impl Error {
    /// Adds the destination to the message.
    fn with_destination(mut self, url: &Url) -> Self {
        match &mut self {
            // An invalid request does not depend on the destination.
            Self::InvalidRequest(_) => {}
            Self::Denied(reason)
            | Self::Timeout(reason)
            | Self::Connect(reason)
            | Self::Tls(reason)
            | Self::Protocol(reason) => *reason = format!("{}: {reason}", url.host_and_port()),
        }
        self
    }

    /// A stable name for logs: `denied`, `timeout`, …
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid-request",
            Self::Denied(_) => "denied",
            Self::Timeout(_) => "timeout",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Protocol(_) => "protocol",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidRequest(reason) => write!(f, "invalid request: {reason}"),
            Self::Denied(reason) => write!(f, "the request was denied: {reason}"),
            Self::Timeout(during) => write!(f, "timeout: {during}"),
            Self::Connect(reason) => write!(f, "the destination cannot be reached: {reason}"),
            Self::Tls(reason) => write!(f, "TLS failed: {reason}"),
            Self::Protocol(reason) => write!(f, "HTTP failed: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
