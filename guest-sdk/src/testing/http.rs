//! Answers to what a receiver sends, given by the test.
//!
//! A request is refused as the host would refuse it, with the same error and in the same words: headers that are the
//! connection's, a line break in a value, a method or URL that HTTP does not know. What is answered reaches the receiver as
//! the host would pass it on.
//!
//! ```
//! use barnabas_sdk::{http, testing};
//!
//! testing::http::answer(|request| match request.method.as_str() {
//!     "POST" => Ok(testing::http::response(429, &[("retry-after", "7")], "")),
//!     _ => Err(http::Error::Connect("the connection was refused".to_owned())),
//! });
//! let answer = http::Request::post("https://sink.example/write").body("x").send().unwrap();
//! assert_eq!((answer.status, answer.header("Retry-After")), (429, Some("7")));
//! assert_eq!(testing::http::requests().len(), 1);
//! ```

use std::cell::RefCell;
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method};

use crate::http::{Error, Request, Response, Url, refusal};

type Responder = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

thread_local! {
    static RESPONDER: RefCell<Option<Responder>> = const { RefCell::new(None) };
    static REQUESTS: RefCell<Vec<Request>> = const { RefCell::new(Vec::new()) };
}

/// Headers that the host lets no guest set or see: `DEFAULT_FORBIDDEN_HEADERS` of wasmtime's `wasi:http`.
const FORBIDDEN_HEADERS: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
    "host",
    "http2-settings",
];

/// From now on, requests of this thread are answered so. Without it every request is denied, as by a host that granted
/// nothing.
pub fn answer(answer: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    RESPONDER.set(Some(Box::new(answer)));
}

/// An answer of this status, these headers and this body, whole.
pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response {
    let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Response { status, headers, body: body.into(), complete: true, destination: String::new() }
}

/// The requests sent from this thread since the last call. One that was refused was not sent.
pub fn requests() -> Vec<Request> {
    REQUESTS.take()
}

/// Refuses what the host refuses, in its order. The types are those by which it judges.
pub(crate) fn check(request: &Request, url: &Url) -> Result<(), Error> {
    for (name, value) in &request.headers {
        let parsed = HeaderName::from_str(name).map_err(|_| refusal::malformed_header(name))?;
        if FORBIDDEN_HEADERS.contains(&parsed.as_str()) {
            return Err(refusal::forbidden_header(name));
        }
        HeaderValue::from_bytes(value.as_bytes()).map_err(|_| refusal::malformed_header(name))?;
    }
    Method::from_str(&request.method).map_err(|_| refusal::method(&request.method))?;
    Authority::from_str(&url.authority).map_err(|_| refusal::authority(&url.authority))?;
    PathAndQuery::from_str(&url.path).map_err(|_| refusal::path(&url.path))?;
    Ok(())
}

pub(crate) fn send(request: &Request, url: &Url) -> Result<Response, Error> {
    check(request, url)?;
    REQUESTS.with_borrow_mut(|requests| requests.push(request.clone()));
    let answered = RESPONDER.with_borrow_mut(|answer| match answer {
        Some(answer) => answer(request),
        None => Err(Error::Denied("no answer was arranged: call testing::http::answer first".to_owned())),
    });
    answered.map(|response| as_delivered(response, request.max_response))
}

/// As the host gives it: without the connection's headers, and no more of the body than was asked for.
fn as_delivered(mut response: Response, max: usize) -> Response {
    response.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    response.headers.retain(|(name, _)| !FORBIDDEN_HEADERS.contains(&name.as_str()));
    response.complete &= response.body.len() <= max;
    response.body.truncate(max);
    response
}
