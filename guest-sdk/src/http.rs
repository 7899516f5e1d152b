//! HTTP out, through the host's guard (`wasi:http`): a request goes only where the operator granted it.
//!
//! ```no_run
//! use std::time::Duration;
//! use barnabas_sdk::http;
//!
//! let answer = http::Request::post("https://sink.example/v1/metrics")
//!     .header("content-type", "application/x-protobuf")
//!     .timeout(Duration::from_secs(10))
//!     .body(vec![1, 2, 3])
//!     .send()?;
//! answer.outcome()?;
//! # Ok::<(), barnabas_sdk::ExportError>(())
//! ```
//!
//! [`Response::outcome`] says what the host shall do by the status, and an [`Error`] becomes an
//! [`ExportError`](crate::ExportError) by `?`; match on either for a sink that means something else.
//!
//! A call blocks until the whole answer is there or the timeout is over. The timeout (10 s unless set) is the request's;
//! the deadline (`[limits] deadline`, 30 s unless the operator sets it) is the host's for the whole call of
//! `export_metrics`: at it the instance is discarded and the batch is offered again, so the timeouts of all requests of
//! one batch have to fit below it.
//!
//! A plugin that sends nothing does not import `wasi:http`, and needs no grant. In a native test,
//! [`testing::http::answer`](crate::testing) answers.

mod outcome;
mod reason;
pub(crate) mod refusal;
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

/// How long a request takes at most, when nothing else was said: 10 seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many bytes of an answer's body are kept, when nothing else was said: 1 MiB.
pub const DEFAULT_MAX_RESPONSE: usize = 1 << 20;

/// A request, built and then sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// From the first step to the last byte of the answer. At zero nothing is sent.
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

    /// Whether it could be sent as it is: URL, method and headers. Nothing is sent, and the grants are not asked. Call it
    /// in [`start`](crate::Receiver::start), where what the operator wrote goes into a header or the URL.
    pub fn check(&self) -> Result<(), Error> {
        self.checked_url().and_then(|url| host::check(self, &url))
    }

    /// Sends it and waits for the answer. An answer of any status is `Ok`.
    pub fn send(self) -> Result<Response, Error> {
        let url = self.checked_url()?;
        if self.timeout.is_zero() {
            return Err(Error::Timeout("the timeout is zero, so nothing was sent".to_owned()).with_destination(&url));
        }
        let mut response = host::send(&self, &url).map_err(|error| error.with_destination(&url))?;
        response.destination = url.host_and_port();
        Ok(response)
    }

    fn checked_url(&self) -> Result<Url, Error> {
        let url = self.url.parse().map_err(|invalid: InvalidUrl| Error::InvalidRequest(invalid.to_string()))?;
        refusal::check(self)?;
        Ok(url)
    }

    /// The first value of a header, by its name in any case.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// An answer. In a test, [`testing::http::response`](crate::testing) makes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case and values, in order. A value that is not UTF-8 is repaired.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it came and was kept.
    pub body: Vec<u8>,
    /// Whether `body` is all of it: false when it was longer than kept, or the connection broke after the headers.
    pub complete: bool,
    /// Who answered, as host and port.
    pub destination: String,
}

impl Response {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// What the sink says of it, for the operator: the first 300 characters of a body of text, of JSON or of OTLP's
    /// `Status`, also where it is compressed with gzip. Of JSON it is the sentence under `message`, `error`, `detail` and
    /// the like, else all of it. It is in one line, and safe to print on a terminal.
    pub fn reason(&self) -> Option<String> {
        reason::reason(self)
    }

    /// `content-type` without its parameters, empty where there is none.
    pub fn content_type(&self) -> &str {
        reason::media_type(self)
    }

    /// The body without its gzip, where it has one: at most [`DEFAULT_MAX_RESPONSE`] bytes are unpacked, and no more
    /// than can be.
    pub fn decoded(&self) -> Cow<'_, [u8]> {
        reason::decoded_body(self)
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
    /// Says to which destination it happened.
    fn with_destination(mut self, url: &Url) -> Self {
        match &mut self {
            // It is at fault itself, wherever it should go.
            Self::InvalidRequest(_) => {}
            Self::Denied(words)
            | Self::Timeout(words)
            | Self::Connect(words)
            | Self::Tls(words)
            | Self::Protocol(words) => *words = format!("{}: {words}", url.host_and_port()),
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
            Self::InvalidRequest(reason) => write!(f, "the request cannot be sent: {reason}"),
            Self::Denied(reason) => write!(f, "the request was denied: {reason}"),
            Self::Timeout(during) => write!(f, "no answer in time: {during}"),
            Self::Connect(reason) => write!(f, "the destination cannot be reached: {reason}"),
            Self::Tls(reason) => write!(f, "the destination cannot be trusted: {reason}"),
            Self::Protocol(reason) => write!(f, "the exchange failed: {reason}"),
        }
    }
}

impl std::error::Error for Error {}
