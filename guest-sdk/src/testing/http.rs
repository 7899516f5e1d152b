//! Responses to the HTTP requests of a receiver, provided by the test.
//!
//! A request that the host would refuse is refused with the same error and the same message: a header that belongs to
//! the connection, a line break in a value, an invalid method or URL. The receiver gets a response as the host would
//! deliver it.
//!
//! ```
//! use barnabas_sdk::{http, testing};
//!
//! testing::http::respond_with(|request| match request.method.as_str() {
//!     "POST" => Ok(testing::http::response(429, &[("retry-after", "7")], "")),
//!     _ => Err(http::Error::Connect("the connection was refused".to_owned())),
//! });
//! let response = http::Request::post("https://sink.example/write").body("x").send().unwrap();
//! assert_eq!((response.status, response.header("Retry-After")), (429, Some("7")));
//! assert_eq!(testing::http::requests().len(), 1);
//! ```

use std::cell::RefCell;
use std::str::FromStr;

use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method};

use crate::http::{Error, Request, Response, Url, invalid_request};

type Responder = Box<dyn FnMut(&Request) -> Result<Response, Error>>;

thread_local! {
    static RESPONDER: RefCell<Option<Responder>> = const { RefCell::new(None) };
    static REQUESTS: RefCell<Vec<Request>> = const { RefCell::new(Vec::new()) };
}

/// The headers that the host does not let a guest set or read: `DEFAULT_FORBIDDEN_HEADERS` of wasmtime's `wasi:http`.
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

/// Sets the function that responds to the requests of this thread. Without it every request is denied, as in a host
/// that granted no destination.
pub fn respond_with(responder: impl FnMut(&Request) -> Result<Response, Error> + 'static) {
    RESPONDER.set(Some(Box::new(responder)));
}

/// Creates a complete response with this status, these headers and this body.
pub fn response(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Response {
    let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    Response { status, headers, body: body.into(), complete: true, destination: String::new() }
}

/// Returns the requests that were sent from this thread since the last call. A refused request was not sent.
pub fn requests() -> Vec<Request> {
    REQUESTS.take()
}

/// Refuses what the host refuses, in the same order and with the types that the host uses.
pub(crate) fn check(request: &Request, url: &Url) -> Result<(), Error> {
    for (name, value) in &request.headers {
        let parsed = HeaderName::from_str(name).map_err(|_| invalid_request::malformed_header(name))?;
        if FORBIDDEN_HEADERS.contains(&parsed.as_str()) {
            return Err(invalid_request::forbidden_header(name));
        }
        HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid_request::malformed_header(name))?;
    }
    Method::from_str(&request.method).map_err(|_| invalid_request::method(&request.method))?;
    Authority::from_str(&url.authority).map_err(|_| invalid_request::authority(&url.authority))?;
    PathAndQuery::from_str(&url.path).map_err(|_| invalid_request::path(&url.path))?;
    Ok(())
}

pub(crate) fn send(request: &Request, url: &Url) -> Result<Response, Error> {
    check(request, url)?;
    REQUESTS.with_borrow_mut(|requests| requests.push(request.clone()));
    let result = RESPONDER.with_borrow_mut(|responder| match responder {
        Some(responder) => responder(request),
        None => Err(Error::Denied("no response was provided: call testing::http::respond_with first".to_owned())),
    });
    result.map(|response| as_delivered(response, request.max_response))
}

/// The response as the host delivers it: without the headers of the connection, and with the body up to the maximum
/// size.
fn as_delivered(mut response: Response, max: usize) -> Response {
    response.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
    response.headers.retain(|(name, _)| !FORBIDDEN_HEADERS.contains(&name.as_str()));
    response.complete &= response.body.len() <= max;
    response.body.truncate(max);
    response
}
