//! Captured requests: they are recorded and not sent, and get a prepared response.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};

use super::RequestBody;
use super::body::CountingBody;
use super::response_cache::{RecordedResponse, ResponseCache, ResponseKey};

/// The maximum number of bytes that are recorded of one body.
const MAX_BODY_BYTES: usize = 1 << 20;
/// The maximum number of recorded requests. Further requests get a response and are only counted.
const MAX_REQUESTS: usize = 256;
/// The maximum number of bytes that are recorded in total.
const MAX_TOTAL_BYTES: usize = 32 << 20;

/// A request of a guest.
#[derive(Clone, Debug)]
pub struct CapturedRequest {
    /// The method.
    pub method: Method,
    /// The whole URI.
    pub uri: Uri,
    /// The headers, including Host.
    pub headers: HeaderMap,
    /// The body, truncated to the maximum size.
    pub body: Bytes,
    /// The original length of the body.
    pub body_len: usize,
    /// Whether the grants allow the destination by name and port; the name is not resolved.
    pub granted: bool,
}

#[derive(Debug, Default)]
struct CapturedRequests {
    requests: Vec<CapturedRequest>,
    bytes: usize,
    dropped: usize,
}

/// The requests that a guest would have sent.
#[derive(Debug)]
pub struct RequestCapture {
    cache: Arc<ResponseCache>,
    default_response: RecordedResponse,
    /// The responses for the first requests, one for each.
    scripted: Mutex<VecDeque<RecordedResponse>>,
    max_requests: usize,
    enforce_grants: bool,
    captured: Mutex<CapturedRequests>,
    failures: AtomicUsize,
}

impl Default for RequestCapture {
    /// Responds with an empty 200, which is a success for an OTLP exporter.
    fn default() -> Self {
        Self::replaying(Arc::default(), RecordedResponse::default())
    }
}

impl RequestCapture {
    /// Responds as the destination did before according to the cache, or else with the default response.
    pub fn replaying(answers: Arc<ResponseCache>, reply: RecordedResponse) -> Self {
        Self {
            cache: answers,
            default_response: reply,
            scripted: Mutex::default(),
            max_requests: MAX_REQUESTS,
            enforce_grants: false,
            captured: Mutex::default(),
            failures: AtomicUsize::new(0),
        }
    }

    /// Responds to the first requests with these responses, one for each and in this order, regardless of the cache.
    pub fn with_scripted_responses(self, replies: impl IntoIterator<Item = RecordedResponse>) -> Self {
        Self { scripted: Mutex::new(replies.into_iter().collect()), ..self }
    }

    /// Denies the requests that the grants do not allow by name and port, as for a real request.
    pub fn enforcing_grants(self) -> Self {
        Self { enforce_grants: true, ..self }
    }

    pub(super) fn refuses(&self, granted: bool) -> bool {
        self.enforce_grants && !granted
    }

    /// Records no request but still responds, for a long trial.
    pub fn without_capture(self) -> Self {
        Self { max_requests: 0, ..self }
    }

    /// Takes the requests that were recorded so far, and the number of requests that were only counted.
    pub fn take(&self) -> (Vec<CapturedRequest>, usize) {
        let kept = std::mem::take(&mut *self.captured.lock().unwrap_or_else(PoisonError::into_inner));
        (kept.requests, kept.dropped)
    }

    /// The number of requests that got a response other than a success.
    pub fn failures(&self) -> usize {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) async fn respond(&self, request: Request<CountingBody>, granted: bool) -> Response<RequestBody> {
        let RecordedResponse { status, headers, body: reply } = self.response_to(&request);
        self.failures.fetch_add(usize::from(!status.is_success()), Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let (body, body_len) = read_body(body).await;
        self.capture(CapturedRequest {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
            body_len,
            granted,
        });
        let reply = Full::new(reply).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(reply);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn response_to<T>(&self, request: &Request<T>) -> RecordedResponse {
        let first = self.scripted.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let known = || self.cache.find(&ResponseKey::new(request.method(), request.uri()));
        first.or_else(known).unwrap_or_else(|| self.default_response.clone())
    }

    fn capture(&self, request: CapturedRequest) {
        let mut kept = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.requests.len() < self.max_requests && kept.bytes + request.body.len() <= MAX_TOTAL_BYTES {
            kept.bytes += request.body.len();
            kept.requests.push(request);
        } else {
            kept.dropped += 1;
        }
    }
}

/// Reads the whole body, and returns its first [`MAX_BODY_BYTES`] bytes and its length. A body that fails ends there.
async fn read_body(mut body: CountingBody) -> (Bytes, usize) {
    let (mut kept, mut len) = (Vec::new(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            let capacity = MAX_BODY_BYTES.saturating_sub(kept.len());
            kept.extend(data.iter().take(capacity));
            len += data.len();
        }
    }
    (kept.into(), len)
}
