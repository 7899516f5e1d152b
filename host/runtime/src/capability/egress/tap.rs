//! Records requests that are really sent, with their responses, for an author who runs a receiver locally.
//!
//! In: requests before they are sent, and responses while the guest reads them. Out: an [`HttpExchange`] for each
//! request. Bounded in requests, and in the bytes of a body by [`BodyTee`] and [`ResponseCache`].

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method, Request, StatusCode, Uri};

use super::CapturedRequest;
use super::request_recorder::BodyTee;
use super::response_cache::{RecordedResponse, ResponseCache, ResponseKey};

/// The maximum number of recorded requests. Further requests are only counted.
const MAX_REQUESTS: usize = 256;

/// A request that was sent, with its response.
#[derive(Clone, Debug)]
pub struct HttpExchange {
    /// The request of the guest.
    pub request: CapturedRequest,
    /// The response, with the body as far as the guest has read it, or the reason why there is none.
    pub response: Result<RecordedResponse, String>,
}

/// The recorder of requests and responses.
#[derive(Debug, Default)]
pub struct Tap(Mutex<TappedRequests>);

#[derive(Debug, Default)]
struct TappedRequests {
    requests: Vec<Arc<TappedRequest>>,
    dropped: usize,
}

/// A recorded request, which may be in flight.
#[derive(Debug)]
pub(super) struct TappedRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    pub(super) body: Arc<Mutex<BodyTee>>,
    /// The cache for the response to this request alone.
    pub(super) responses: Arc<ResponseCache>,
    head: Mutex<Option<Result<(StatusCode, HeaderMap), String>>>,
}

impl Tap {
    pub(super) fn record<T>(&self, request: &Request<T>) -> Option<Arc<TappedRequest>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.requests.len() >= MAX_REQUESTS {
            kept.dropped += 1;
            return None;
        }
        let tapped = Arc::new(TappedRequest {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            body: Arc::default(),
            responses: Arc::default(),
            head: Mutex::default(),
        });
        kept.requests.push(tapped.clone());
        Some(tapped)
    }

    /// Takes the exchanges that were recorded so far, and the number of requests that were only counted.
    pub fn take(&self) -> (Vec<HttpExchange>, usize) {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (kept.requests.iter().map(|tapped| tapped.exchange()).collect(), kept.dropped)
    }
}

impl TappedRequest {
    /// Sets the head of the response, or the error.
    pub(super) fn set_head(&self, head: Result<(StatusCode, HeaderMap), String>) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
    }

    fn exchange(&self) -> HttpExchange {
        let (body, body_len) = self.body.lock().unwrap_or_else(PoisonError::into_inner).prefix();
        let (method, uri, headers) = (self.method.clone(), self.uri.clone(), self.headers.clone());
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = self.responses.find(&ResponseKey::new(&self.method, &self.uri));
        let answer = head.unwrap_or_else(|| Err("the receiver did not wait for the response".into()));
        let answer = answer.map(|(status, headers)| {
            let body = read.map(|reply| reply.body).unwrap_or_default();
            RecordedResponse { status, headers, body }
        });
        HttpExchange {
            request: CapturedRequest { method, uri, headers, body, body_len, granted: true },
            response: answer,
        }
    }
}
