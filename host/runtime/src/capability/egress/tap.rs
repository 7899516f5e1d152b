//! Requests that really go out, written down with what was answered: for an author who tries a receiver.
//!
//! In: requests on their way, answers as a guest reads them. Out: an [`Exchange`] for each. Bounded in requests; of a body
//! as much is kept as [`Tee`] and [`Answers`] keep.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method, Request, StatusCode, Uri};

use super::CapturedRequest;
use super::request_recorder::BodyTee;
use super::response_cache::{RecordedResponse, ResponseCache, ResponseKey};

/// Most requests kept; further ones are counted.
const MAX_REQUESTS: usize = 256;

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct HttpExchange {
    /// As the guest made it.
    pub request: CapturedRequest,
    /// What was answered, its body as far as the guest read it; else why there was no answer.
    pub response: Result<RecordedResponse, String>,
}

/// Where they are written down.
#[derive(Debug, Default)]
pub struct Tap(Mutex<TappedRequests>);

#[derive(Debug, Default)]
struct TappedRequests {
    requests: Vec<Arc<TappedRequest>>,
    dropped: usize,
}

/// One that is under way.
#[derive(Debug)]
pub(super) struct TappedRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    pub(super) body: Arc<Mutex<BodyTee>>,
    /// Of this request alone.
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

    /// Takes what was seen so far, and how many more there were.
    pub fn take(&self) -> (Vec<HttpExchange>, usize) {
        let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (kept.requests.iter().map(|tapped| tapped.exchange()).collect(), kept.dropped)
    }
}

impl TappedRequest {
    /// It was answered, or was not and why.
    pub(super) fn set_head(&self, head: Result<(StatusCode, HeaderMap), String>) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = Some(head);
    }

    fn exchange(&self) -> HttpExchange {
        let (body, body_len) = self.body.lock().unwrap_or_else(PoisonError::into_inner).prefix();
        let (method, uri, headers) = (self.method.clone(), self.uri.clone(), self.headers.clone());
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = self.responses.find(&ResponseKey::new(&self.method, &self.uri));
        let answer = head.unwrap_or_else(|| Err("the receiver did not wait for the answer".into()));
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
