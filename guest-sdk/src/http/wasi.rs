//! One exchange over `wasi:http`: request and URL in, answer or error out, under one deadline. Holds no connection:
//! the host pools them. Handles are dropped children first, as the component model demands.

use std::time::Duration;

use wasip2::clocks::monotonic_clock;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::{Error, Request, Response, Url, refusal};

/// How much is written or read in one call of the host.
const CHUNK: u64 = 64 * 1024;

/// Whether the host takes the request: it is built and dropped.
pub(super) fn check(request: &Request, url: &Url) -> Result<(), Error> {
    outgoing(request, url).map(drop)
}

pub(super) fn send(request: &Request, url: &Url) -> Result<Response, Error> {
    let deadline = Deadline::after(request.timeout);
    let outgoing = outgoing(request, url)?;
    let body = outgoing.body().expect("a new request has its body");
    let answer = outgoing_handler::handle(outgoing, Some(options(request.timeout))).map_err(failure)?;
    match write_all(&body, &request.body, &deadline) {
        // Finished also after the other side closed: it may have answered without reading all (413, 401).
        Ok(()) => OutgoingBody::finish(body, None).map_err(failure)?,
        Err(Stop::Closed) => drop(body),
        Err(Stop::Time) => return Err(Error::Timeout("while sending the request".to_owned())),
    }
    let response = await_answer(&answer, &deadline)?;
    Ok(read(response, request.max_response, &deadline))
}

fn outgoing(request: &Request, url: &Url) -> Result<OutgoingRequest, Error> {
    let headers = Fields::new();
    let length = request.body.len().to_string();
    let with_length = (!request.body.is_empty()).then_some(("content-length", length.as_str()));
    let given = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.chain(with_length) {
        headers.append(name, value.as_bytes()).map_err(|cause| match cause {
            HeaderError::Forbidden => refusal::forbidden_header(name),
            HeaderError::InvalidSyntax | HeaderError::Immutable => refusal::malformed_header(name),
        })?;
    }
    let outgoing = OutgoingRequest::new(headers);
    let scheme = if url.tls { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method(&request.method)).map_err(|()| refusal::method(&request.method))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| Error::InvalidRequest(format!("`{url}` is not a URL of HTTP")))?;
    outgoing.set_authority(Some(&url.authority)).map_err(|()| refusal::authority(&url.authority))?;
    outgoing.set_path_with_query(Some(&url.path)).map_err(|()| refusal::path(&url.path))?;
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

/// The host may not know these options; the deadline holds without them.
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

/// Why writing ended early.
enum Stop {
    Closed,
    Time,
}

impl From<StreamError> for Stop {
    fn from(_: StreamError) -> Self {
        // Whatever closed it, the answer (or its error) says more.
        Self::Closed
    }
}

fn write_all(body: &OutgoingBody, mut bytes: &[u8], deadline: &Deadline) -> Result<(), Stop> {
    let stream = body.write().expect("a new body has its stream");
    while !bytes.is_empty() {
        let permitted = permitted(&stream, deadline)?.min(CHUNK) as usize;
        let (now, later) = bytes.split_at(permitted.min(bytes.len()));
        stream.write(now)?;
        bytes = later;
    }
    stream.flush()?;
    permitted(&stream, deadline)?;
    Ok(())
}

/// Waits until the host takes more (or has flushed), and says how much.
fn permitted(stream: &OutputStream, deadline: &Deadline) -> Result<u64, Stop> {
    loop {
        match stream.check_write()? {
            0 if !deadline.reached(&stream.subscribe()) => {}
            0 => return Err(Stop::Time),
            permitted => return Ok(permitted),
        }
    }
}

fn await_answer(answer: &FutureIncomingResponse, deadline: &Deadline) -> Result<IncomingResponse, Error> {
    loop {
        match answer.get() {
            Some(Ok(result)) => return result.map_err(failure),
            Some(Err(())) => return Err(Error::Protocol("the host gave the answer away twice".to_owned())),
            None if deadline.reached(&answer.subscribe()) => {
                return Err(Error::Timeout("while waiting for the answer".to_owned()));
            }
            None => {}
        }
    }
}

fn read(response: IncomingResponse, max: usize, deadline: &Deadline) -> Response {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let headers = response.headers().entries().into_iter().map(|(name, value)| (name, text(value))).collect();
    let body = response.consume().expect("a new answer has its body");
    let (body, complete) = read_all(&body, max, deadline);
    Response { status: response.status(), headers, body, complete, destination: String::new() }
}

fn read_all(body: &IncomingBody, max: usize, deadline: &Deadline) -> (Vec<u8>, bool) {
    let stream = body.stream().expect("a new body has its stream");
    let mut bytes = Vec::new();
    while bytes.len() <= max {
        match next_chunk(&stream, deadline) {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, true),
            Err(Stop::Closed | Stop::Time) => break,
        }
    }
    bytes.truncate(max);
    (bytes, false)
}

/// `None` is the end.
fn next_chunk(stream: &InputStream, deadline: &Deadline) -> Result<Option<Vec<u8>>, Stop> {
    loop {
        match stream.read(CHUNK) {
            Ok(chunk) if !chunk.is_empty() => return Ok(Some(chunk)),
            Ok(_) if deadline.reached(&stream.subscribe()) => return Err(Stop::Time),
            Ok(_) => {}
            Err(StreamError::Closed) => return Ok(None),
            Err(StreamError::LastOperationFailed(_)) => return Err(Stop::Closed),
        }
    }
}

/// When all of it has to be over.
struct Deadline(monotonic_clock::Instant);

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self(monotonic_clock::now().saturating_add(nanos(timeout)))
    }

    /// Waits for the pollable; true when the deadline came first.
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
    let words = |text: &str| text.to_owned();
    match code {
        E::HttpRequestDenied => Error::Denied(words("the destination is not among the plugin's grants")),
        E::DestinationIpProhibited => Error::Denied(words("the name resolves to an address that is not granted")),
        E::DnsTimeout => Error::Timeout(words("while resolving the name")),
        E::ConnectionTimeout => Error::Timeout(words("while connecting")),
        E::ConnectionReadTimeout | E::HttpResponseTimeout => Error::Timeout(words("while waiting for the answer")),
        E::ConnectionWriteTimeout => Error::Timeout(words("while sending the request")),
        E::DnsError(dns) => {
            Error::Connect(format!("the name does not resolve ({})", dns.rcode.as_deref().unwrap_or("no reason given")))
        }
        E::DestinationNotFound => Error::Connect(words("the destination was not found")),
        E::DestinationUnavailable => Error::Connect(words("the destination is unavailable")),
        E::DestinationIpUnroutable => Error::Connect(words("no route to the address")),
        E::ConnectionRefused => Error::Connect(words("the connection was refused")),
        E::ConnectionTerminated => Error::Connect(words("the connection was terminated")),
        E::ConnectionLimitReached => Error::Connect(words("the host has no connection left for the plugin")),
        E::HttpResponseIncomplete => Error::Connect(words("the connection broke within the answer")),
        E::TlsProtocolError => Error::Tls(words("the TLS handshake failed")),
        E::TlsCertificateError => Error::Tls(words("its certificate is not valid for it or not known")),
        E::TlsAlertReceived(alert) => {
            Error::Tls(format!("it sent a TLS alert ({})", alert.alert_message.as_deref().unwrap_or("without words")))
        }
        E::HttpRequestMethodInvalid => Error::InvalidRequest(words("the method is not valid")),
        E::HttpRequestUriInvalid | E::HttpRequestUriTooLong => Error::InvalidRequest(words("the URL is not valid")),
        E::HttpResponseBodySize(Some(most)) => {
            Error::Protocol(format!("the answer is larger than the {most} bytes that the host lets through"))
        }
        E::HttpProtocolError => Error::Protocol(words("what it answered is not HTTP")),
        E::ConfigurationError => Error::Protocol(words("the host has no certificates to judge others by")),
        E::InternalError(Some(reason)) => Error::Protocol(reason),
        other => Error::Protocol(format!("{other:?}")),
    }
}
