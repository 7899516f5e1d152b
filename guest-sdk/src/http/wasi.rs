//! Sends one request over `wasi:http` and reads the response, with one deadline for both. The host pools the
//! connections. Handles are dropped children first, as the component model requires.

use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::{Error, Request, Response, Url, invalid_request};

/// The maximum number of bytes that one call of the host writes or reads.
const CHUNK: u64 = 64 * 1024;

/// Checks whether the host accepts the request, by building it without sending it.
pub(super) fn check(request: &Request, url: &Url) -> Result<(), Error> {
    outgoing(request, url).map(drop)
}

pub(super) fn send(request: &Request, url: &Url) -> Result<Response, Error> {
    let deadline = RequestDeadline::after(request.timeout);
    let outgoing = outgoing(request, url)?;
    let body = outgoing.body().expect("a new request has its body");
    let future = outgoing_handler::handle(outgoing, Some(options(request.timeout))).map_err(failure)?;
    match write_all(&body, &request.body, &deadline) {
        // A closed stream is not an error: the server may respond before it has read the whole body (413, 401).
        Ok(()) => OutgoingBody::finish(body, None).map_err(failure)?,
        Err(StreamEnd::Closed) => drop(body),
        Err(StreamEnd::Timeout) => return Err(Error::Timeout("while sending the request".to_owned())),
    }
    let response = await_response(&future, &deadline)?;
    Ok(read(response, request.max_response, &deadline))
}

fn outgoing(request: &Request, url: &Url) -> Result<OutgoingRequest, Error> {
    let headers = Fields::new();
    let length = request.body.len().to_string();
    let with_length = (!request.body.is_empty()).then_some(("content-length", length.as_str()));
    let given = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.chain(with_length) {
        headers.append(name, value.as_bytes()).map_err(|cause| match cause {
            HeaderError::Forbidden => invalid_request::forbidden_header(name),
            HeaderError::InvalidSyntax | HeaderError::Immutable => invalid_request::malformed_header(name),
        })?;
    }
    let outgoing = OutgoingRequest::new(headers);
    let scheme = if url.tls { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method(&request.method)).map_err(|()| invalid_request::method(&request.method))?;
    outgoing
        .set_scheme(Some(&scheme))
        .map_err(|()| Error::InvalidRequest(format!("`{url}` is not a valid HTTP URL")))?;
    outgoing.set_authority(Some(&url.authority)).map_err(|()| invalid_request::authority(&url.authority))?;
    outgoing.set_path_with_query(Some(&url.path)).map_err(|()| invalid_request::path(&url.path))?;
    Ok(outgoing)
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "HEAD" => Method::Head,
        "PATCH" => Method::Patch,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

/// The host may not support these options. The deadline works without them.
fn options(timeout: Duration) -> RequestOptions {
    let options = RequestOptions::new();
    let nanos = Some(nanos(timeout));
    for refused in [
        options.set_connect_timeout(nanos),
        options.set_first_byte_timeout(nanos),
        options.set_between_bytes_timeout(nanos),
    ] {
        refused.unwrap_or_default();
    }
    options
}

/// Why a stream ended early.
enum StreamEnd {
    Closed,
    Timeout,
}

impl From<StreamError> for StreamEnd {
    fn from(_: StreamError) -> Self {
        // The response, or its error, explains why the stream was closed.
        Self::Closed
    }
}

fn write_all(body: &OutgoingBody, mut bytes: &[u8], deadline: &RequestDeadline) -> Result<(), StreamEnd> {
    let stream = body.write().expect("a new body has its stream");
    while !bytes.is_empty() {
        let permitted = permitted(&stream, deadline)?.min(CHUNK) as usize;
        let (chunk, rest) = bytes.split_at(permitted.min(bytes.len()));
        stream.write(chunk)?;
        bytes = rest;
    }
    stream.flush()?;
    permitted(&stream, deadline)?;
    Ok(())
}

/// Waits until the host accepts more bytes (or has flushed), and returns how many.
fn permitted(stream: &OutputStream, deadline: &RequestDeadline) -> Result<u64, StreamEnd> {
    loop {
        match stream.check_write()? {
            0 if !deadline.reached(&stream.subscribe()) => {}
            0 => return Err(StreamEnd::Timeout),
            permitted => return Ok(permitted),
        }
    }
}

fn await_response(future: &FutureIncomingResponse, deadline: &RequestDeadline) -> Result<IncomingResponse, Error> {
    loop {
        match future.get() {
            Some(Ok(result)) => return result.map_err(failure),
            Some(Err(())) => return Err(Error::Protocol("the host returned the response twice".to_owned())),
            None if deadline.reached(&future.subscribe()) => {
                return Err(Error::Timeout("while waiting for the response".to_owned()));
            }
            None => {}
        }
    }
}

fn read(response: IncomingResponse, max: usize, deadline: &RequestDeadline) -> Response {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let headers = response.headers().entries().into_iter().map(|(name, value)| (name, text(value))).collect();
    let body = response.consume().expect("a new response has its body");
    let (body, complete) = read_all(&body, max, deadline);
    Response { status: response.status(), headers, body, complete, destination: String::new() }
}

fn read_all(body: &IncomingBody, max: usize, deadline: &RequestDeadline) -> (Vec<u8>, bool) {
    let stream = body.stream().expect("a new body has its stream");
    let mut bytes = Vec::new();
    while bytes.len() <= max {
        match next_chunk(&stream, deadline) {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, true),
            Err(StreamEnd::Closed | StreamEnd::Timeout) => break,
        }
    }
    bytes.truncate(max);
    (bytes, false)
}

/// The next chunk of the body, or `None` at its end.
fn next_chunk(stream: &InputStream, deadline: &RequestDeadline) -> Result<Option<Vec<u8>>, StreamEnd> {
    loop {
        match stream.read(CHUNK) {
            Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
            Ok(_) if deadline.reached(&stream.subscribe()) => return Err(StreamEnd::Timeout),
            Ok(_) => {}
            Err(StreamError::Closed) => return Ok(None),
            Err(StreamError::LastOperationFailed(_)) => return Err(StreamEnd::Closed),
        }
    }
}

/// The time at which the request and the response must be complete.
struct RequestDeadline(monotonic_clock::Instant);

impl RequestDeadline {
    fn after(timeout: Duration) -> Self {
        Self(monotonic_clock::now().saturating_add(nanos(timeout)))
    }

    /// Waits for the pollable. It returns true if the deadline came first.
    fn reached(&self, pollable: &Pollable) -> bool {
        let timer = monotonic_clock::subscribe_instant(self.0);
        !poll(&[pollable, &timer]).contains(&0)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn failure(code: ErrorCode) -> Error {
    use ErrorCode as E;
    let text = |message: &str| message.to_owned();
    match code {
        E::HttpRequestDenied => Error::Denied(text("the destination is not among the plugin's grants")),
        E::DestinationIpProhibited => Error::Denied(text("the name resolves to an address that is not granted")),
        E::DnsTimeout => Error::Timeout(text("while resolving the name")),
        E::ConnectionTimeout => Error::Timeout(text("while connecting")),
        E::ConnectionReadTimeout | E::HttpResponseTimeout => Error::Timeout(text("while waiting for the response")),
        E::ConnectionWriteTimeout => Error::Timeout(text("while sending the request")),
        E::DnsError(dns) => {
            Error::Connect(format!("the name does not resolve ({})", dns.rcode.as_deref().unwrap_or("no reason given")))
        }
        E::DestinationNotFound => Error::Connect(text("the destination was not found")),
        E::DestinationUnavailable => Error::Connect(text("the destination is unavailable")),
        E::DestinationIpUnroutable => Error::Connect(text("no route to the address")),
        E::ConnectionRefused => Error::Connect(text("the connection was refused")),
        E::ConnectionTerminated => Error::Connect(text("the connection was terminated")),
        E::ConnectionLimitReached => Error::Connect(text("the plugin has reached its limit of concurrent requests")),
        E::HttpResponseIncomplete => Error::Connect(text("the connection ended before the response was complete")),
        E::TlsProtocolError => Error::Tls(text("the TLS handshake failed")),
        E::TlsCertificateError => {
            Error::Tls(text("the certificate is not valid for this host, or its issuer is not trusted"))
        }
        E::TlsAlertReceived(alert) => Error::Tls(format!(
            "the server sent a TLS alert ({})",
            alert.alert_message.as_deref().unwrap_or("no message")
        )),
        E::HttpRequestMethodInvalid => Error::InvalidRequest(text("the method is not valid")),
        E::HttpRequestUriInvalid | E::HttpRequestUriTooLong => Error::InvalidRequest(text("the URL is not valid")),
        E::HttpResponseBodySize(Some(limit)) => {
            Error::Protocol(format!("the response is larger than {limit} bytes, the limit of the host"))
        }
        E::HttpProtocolError => Error::Protocol(text("the response is not valid HTTP")),
        E::ConfigurationError => Error::Protocol(text("the host has no root certificates")),
        E::InternalError(Some(reason)) => Error::Protocol(reason),
        other => Error::Protocol(format!("{other:?}")),
    }
}
