//! Requests that go nowhere: written down and answered with a set reply.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};

use super::RequestBody;
use super::body::CountingBody;
use super::response_cache::{RecordedResponse, ResponseCache, ResponseKey};

/// Most bytes kept of one body.
const MAX_BODY_BYTES: usize = 1 << 20;
/// Most requests kept; further ones are answered and counted.
const MAX_REQUESTS: usize = 256;
/// Most bytes kept in all.
const MAX_TOTAL_BYTES: usize = 32 << 20;

/// A request as the guest made it.
#[derive(Clone, Debug)]
pub struct CapturedRequest {
    /// GET, POST and so on.
    pub method: Method,
    /// Whole.
    pub uri: Uri,
    /// With Host.
    pub headers: HeaderMap,
    /// Its beginning, if it was longer than what is kept.
    pub body: Bytes,
    /// How long it really was.
    pub body_len: usize,
    /// Whether the grants would have let it through by name (addresses are not looked up).
    pub granted: bool,
}

#[derive(Debug, Default)]
struct CapturedRequests {
    requests: Vec<CapturedRequest>,
    bytes: usize,
    dropped: usize,
}

/// What a guest would have sent.
#[derive(Debug)]
pub struct RequestCapture {
    cache: Arc<ResponseCache>,
    default_response: RecordedResponse,
    /// Answers for the first requests, one each.
    scripted: Mutex<VecDeque<RecordedResponse>>,
    max_requests: usize,
    enforce_grants: bool,
    captured: Mutex<CapturedRequests>,
    failures: AtomicUsize,
}

impl Default for RequestCapture {
    /// Answers 200 with an empty body, which an OTLP exporter takes for success.
    fn default() -> Self {
        Self::replaying(Arc::default(), RecordedResponse::default())
    }
}

impl RequestCapture {
    /// Answers as the same destination did before, else like this.
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

    /// Answers the first requests with these, one each and in this order, whatever else is known of their destinations.
    pub fn with_scripted_responses(self, replies: impl IntoIterator<Item = RecordedResponse>) -> Self {
        Self { scripted: Mutex::new(replies.into_iter().collect()), ..self }
    }

    /// Refuses what the grants would refuse by name, as a real request would be.
    pub fn enforcing_grants(self) -> Self {
        Self { enforce_grants: true, ..self }
    }

    pub(super) fn refuses(&self, granted: bool) -> bool {
        self.enforce_grants && !granted
    }

    /// Keeps no request, and answers all the same: for a trial that lasts.
    pub fn without_capture(self) -> Self {
        Self { max_requests: 0, ..self }
    }

    /// Takes what was kept so far, and how many more there were.
    pub fn take(&self) -> (Vec<CapturedRequest>, usize) {
        let kept = std::mem::take(&mut *self.captured.lock().unwrap_or_else(PoisonError::into_inner));
        (kept.requests, kept.dropped)
    }

    /// How many requests were answered with something else than a success.
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

/// Reads all of it, keeps the first [`MAX_BODY`] bytes. A body that breaks off ends there.
async fn read_body(mut body: CountingBody) -> (Bytes, usize) {
    let (mut kept, mut len) = (Vec::new(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        if let Some(data) = frame.data_ref() {
            let room = MAX_BODY_BYTES.saturating_sub(kept.len());
            kept.extend(data.iter().take(room));
            len += data.len();
        }
    }
    (kept.into(), len)
}
