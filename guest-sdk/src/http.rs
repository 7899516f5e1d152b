//! HTTP out, through the host's guard (`wasi:http`): a request goes only where the operator granted it.
//!
//! ```no_run
//! use std::time::Duration;
//! use barnabas_sdk::http;
//!
//! let response = http::Request::post("https://sink.example/v1/metrics")
//!     .header("content-type", "application/x-protobuf")
//!     .timeout(Duration::from_secs(10))
//!     .body(vec![1, 2, 3])
//!     .send();
//! match response {
//!     Ok(response) if response.is_success() => {}
//!     Ok(response) => println!("answered {}", response.status),
//!     Err(http::Error::Denied(reason)) => println!("ask the operator for a grant: {reason}"),
//!     Err(error) => println!("{error}"),
//! }
//! ```
//!
//! A call blocks until the whole answer is there or the timeout is over. A plugin that sends nothing does not import
//! `wasi:http`, and needs no grant. In a native test, [`testing::http::answer`](crate::testing::http::answer) answers.

mod url;
#[cfg(target_arch = "wasm32")]
mod wasi;

use std::fmt;
use std::time::Duration;

pub use url::Url;
#[cfg(target_arch = "wasm32")]
use wasi::send;

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::http::send;

/// How long a request takes at most, when nothing else was said.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes of an answer are kept, when nothing else was said.
pub const DEFAULT_MAX_RESPONSE: usize = 1 << 20;

/// A request, built and then sent.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
    /// What is sent. Its length goes into `content-length`.
    pub body: Vec<u8>,
    /// From the first step to the last byte of the answer.
    pub timeout: Duration,
    /// Bytes of the answer's body beyond this are not kept.
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

    /// Sets the time that all of it may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets what is sent.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets how many bytes of the answer's body are kept.
    pub fn max_response(mut self, bytes: usize) -> Self {
        self.max_response = bytes;
        self
    }

    /// Sends it and waits for the answer. An answer of any status is `Ok`.
    pub fn send(self) -> Result<Response, Error> {
        let url: Url = self.url.parse().map_err(Error::InvalidRequest)?;
        send(&self, &url)
    }

    /// The first value of a header, by its name in any case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names and values, in order. A value that is not UTF-8 is repaired.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came and was kept.
    pub body: Vec<u8>,
    /// Whether `body` is all of it: false when it was longer than kept, or the connection broke after the headers.
    pub complete: bool,
}

impl Response {
    /// An empty answer, for tests.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), complete: true }
    }

    /// Adds a header, for tests.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body, for tests.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header, by its name in any case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as text, repaired where it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The request cannot be sent as it is: its URL, method or a header is wrong.
    InvalidRequest(String),
    /// The operator has not granted this destination to the plugin.
    Denied(String),
    /// The time was over; says during what.
    Timeout(String),
    /// The destination could not be found or reached, or hung up.
    Connect(String),
    /// The destination could not be trusted.
    Tls(String),
    /// What came is not HTTP, or the host could not do its part.
    Protocol(String),
}

impl Error {
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
            Self::InvalidRequest(reason) => write!(f, "the request cannot be sent: {reason}"),
            Self::Denied(reason) => write!(f, "the destination is not granted: {reason}"),
            Self::Timeout(during) => write!(f, "no answer in time: {during}"),
            Self::Connect(reason) => write!(f, "the destination cannot be reached: {reason}"),
            Self::Tls(reason) => write!(f, "the destination cannot be trusted: {reason}"),
            Self::Protocol(reason) => write!(f, "the exchange failed: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
