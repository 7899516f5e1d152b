//! The last responses of the destinations of a plugin. The captured requests of a candidate get the same responses.
//!
//! In: responses that the live generation read. Out: a [`RecordedResponse`] by method and URL. Bounded in entries and
//! in bytes. A failure does not replace a success, because a trial should show what the candidate does when the sink
//! works.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri};

/// The maximum size of the body of a cached response. A response with a larger body is not cached.
const MAX_BODY_BYTES: usize = 64 << 10;
/// The maximum number of cached responses. The oldest ones are removed first.
const MAX_RESPONSES: usize = 32;

/// A response that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedResponse {
    /// The status.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Default for RecordedResponse {
    /// An empty response with the status 200, which is a success for an OTLP exporter.
    fn default() -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() }
    }
}

/// The responses of one slot. Its generations share them.
#[derive(Debug, Default)]
pub struct ResponseCache(Mutex<VecDeque<(ResponseKey, RecordedResponse)>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResponseKey {
    method: Method,
    uri: Uri,
}

impl ResponseKey {
    pub(super) fn new(method: &Method, uri: &Uri) -> Self {
        Self { method: method.clone(), uri: uri.clone() }
    }
}

impl ResponseCache {
    pub(super) fn find(&self, key: &ResponseKey) -> Option<RecordedResponse> {
        self.with_entries(|entries| entries.iter().find(|(known, _)| known == key).map(|(_, reply)| reply.clone()))
    }

    fn store(&self, key: ResponseKey, reply: RecordedResponse) {
        self.with_entries(|entries| {
            if let Some((_, known)) = entries.iter_mut().find(|(known, _)| *known == key) {
                if reply.status.is_success() || !known.status.is_success() {
                    *known = reply;
                }
                return;
            }
            entries.truncate(MAX_RESPONSES - 1);
            entries.push_front((key, reply));
        });
    }

    fn with_entries<T>(&self, look: impl FnOnce(&mut VecDeque<(ResponseKey, RecordedResponse)>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Records one response while the guest reads it. It is stored when the body ends, or when the guest drops the body.
pub(super) struct ResponseRecorder {
    cache: Arc<ResponseCache>,
    key: Option<ResponseKey>,
    status: StatusCode,
    headers: HeaderMap,
    body: BytesMut,
}

impl ResponseRecorder {
    pub(super) fn new(answers: Arc<ResponseCache>, key: ResponseKey, status: StatusCode, headers: &HeaderMap) -> Self {
        let mut headers = headers.clone();
        // These headers belong to the connection and not to the response.
        for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        Self { cache: answers, key: Some(key), status, headers, body: BytesMut::new() }
    }

    pub(super) fn push_data(&mut self, data: &[u8]) {
        if self.body.len() + data.len() > MAX_BODY_BYTES {
            self.key = None;
        }
        if self.key.is_some() {
            self.body.extend_from_slice(data);
        }
    }

    /// Discards the response, because its body failed before its end.
    pub(super) fn discard(&mut self) {
        self.key = None;
    }
}

impl Drop for ResponseRecorder {
    fn drop(&mut self) {
        let Some(key) = self.key.take() else { return };
        let body = Bytes::copy_from_slice(&self.body);
        self.cache
            .store(key, RecordedResponse { status: self.status, headers: std::mem::take(&mut self.headers), body });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> ResponseKey {
        ResponseKey::new(&Method::POST, &format!("http://sink{path}").parse().unwrap())
    }

    fn record(answers: &Arc<ResponseCache>, path: &str, status: u16, body: &[u8]) {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = [(CONTENT_LENGTH, "3".parse().unwrap())].into_iter().collect();
        ResponseRecorder::new(answers.clone(), key(path), status, &headers).push_data(body);
    }

    #[test]
    fn a_response_is_found_by_method_and_url() {
        let answers = Arc::new(ResponseCache::default());
        record(&answers, "/a", 200, b"yes");
        let reply = answers.find(&key("/a")).unwrap();
        assert_eq!((reply.status.as_u16(), &*reply.body, reply.headers.len()), (200, b"yes".as_slice(), 0));
        assert_eq!(answers.find(&key("/b")), None);
        assert_eq!(answers.find(&ResponseKey { method: Method::GET, ..key("/a") }), None);
    }

    #[test]
    fn a_failure_does_not_replace_a_success() {
        let answers = Arc::new(ResponseCache::default());
        let status = || answers.find(&key("/")).unwrap().status.as_u16();
        for (read_now, kept) in [(503, 503), (429, 429), (200, 200), (503, 200), (202, 202)] {
            record(&answers, "/", read_now, b"");
            assert_eq!(status(), kept);
        }
    }

    #[test]
    fn the_cache_is_bounded_in_entries_and_in_body_bytes() {
        let answers = Arc::new(ResponseCache::default());
        record(&answers, "/large", 200, &vec![0; MAX_BODY_BYTES + 1]);
        assert_eq!(answers.find(&key("/large")), None);
        for n in 0..=MAX_RESPONSES {
            record(&answers, &format!("/{n}"), 200, b"");
        }
        assert_eq!(answers.find(&key("/0")), None);
        assert!(answers.find(&key("/1")).is_some());
    }
}
